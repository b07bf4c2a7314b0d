"""Experiments with a secured service that several checks judge, or that take some time."""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import dataclass

from wirelab.checks import CannotJudge, Failed
from wirelab.checks.evidence import at_once
from wirelab.checks.exchange import ANSWER_DEADLINE, Exchange
from wirelab.checks.price_clients import Client
from wirelab.checks.secure_service import (
    FORM,
    PASSWORDS,
    TICKET_SECONDS,
    Service,
    Visit,
    credentials,
    guess,
    no_handler,
    stranger,
    ticket_within,
)

# login

# Logins of each kind in a round, and how many rounds there are for times that seem to differ.
SAMPLES, TIME_ROUNDS = 8, 3
# How many times as long the shortest ones of a kind may take, and of how many pairs the same kind may be quicker.
FACTOR, QUICKER = 1.6, 0.8
# How many log in at once, how much of that time one GET may wait, and how often it is tried.
CROWD, STALLED, CROWD_ROUNDS = 50, 0.6, 3
# How many times the deadline of one answer the crowd may take.
CROWD_PATIENCE = 3.0


@dataclass(frozen=True)
class Refusals:
    """What logins got that must not succeed."""

    wrong_password: Exchange
    somebody_elses: Exchange
    unknown: Exchange
    repeated: Exchange

    @property
    def all(self) -> tuple[Exchange, ...]:
        """All but the repetition."""
        return self.wrong_password, self.somebody_elses, self.unknown


async def refusals(service: Service) -> Refusals:
    """Log in with what does not fit; one login twice, to see what changes by itself.

    Raises:
        NotAttempted: nobody has written yet what they get.
    """
    nobody, password = stranger(), guess()
    found = Refusals(
        await service.login("ada", password),
        await service.login("ada", PASSWORDS["grace"]),
        await service.login(nobody, password),
        await service.login("ada", password),
    )
    for answer in found.all:
        if await service.api.missing(answer):
            raise no_handler(answer)
    return found


@dataclass
class Times:
    """Seconds of logins with a wrong password, and of logins by nobody."""

    known: list[float]
    unknown: list[float]

    @property
    def ratio(self) -> float:
        """How many times as long the unknown user takes: of the shortest ones, as whatever disturbs only adds."""
        return min(self.unknown) / min(self.known)

    @property
    def quicker(self) -> float:
        """In how many of all pairs, from 0 to 1, the unknown user is answered more quickly."""
        pairs = [unknown < known for unknown in self.unknown for known in self.known]
        return sum(pairs) / len(pairs)

    @property
    def alike(self) -> bool:
        """Whether nobody can tell them apart: one lucky sample, or a difference too small to matter, is none."""
        return 1 / FACTOR < self.ratio < FACTOR or 1 - QUICKER < self.quicker < QUICKER


async def times(service: Service) -> Times:
    """Take the time of both kinds in random order, again if they are not alike."""
    await service.evidence(refusals)
    found = Times([], [])
    for _ in range(TIME_ROUNDS):
        kinds = [found.known, found.unknown] * SAMPLES
        random.shuffle(kinds)
        for kind in kinds:
            username, password = "ada" if kind is found.known else stranger(), guess()
            begun = time.perf_counter()
            await service.login(username, password)
            kind.append(time.perf_counter() - begun)
        if found.alike:
            break
    return found


@dataclass(frozen=True)
class Crowd:
    """Many logins at once, and GET /health again and again meanwhile.

    Attributes:
        logins: what they got.
        seconds: how long it took until the last one was answered.
        waits: seconds that each GET /health took.
    """

    logins: list[Exchange]
    seconds: float
    waits: list[float]

    @property
    def share(self) -> float:
        """How much of the time the longest GET waited."""
        return max(self.waits) / self.seconds


async def crowd(service: Service) -> Crowd:
    """Let many log in at once, and look how long GET /health waits; again if it was long."""
    await service.evidence(refusals)
    found = await _crowd(service)
    for _ in range(1, CROWD_ROUNDS):
        if found.share >= STALLED and max(found.waits) < ANSWER_DEADLINE:
            found = min(found, await _crowd(service), key=lambda one: one.share)
    return found


async def _crowd(service: Service) -> Crowd:
    bodies = [credentials(*random.choice(list(PASSWORDS.items()))) for _ in range(CROWD)]
    answered = asyncio.Event()
    begun = time.perf_counter()
    found = Crowd([], 0.0, [])

    async def log_in() -> None:
        nonlocal found
        try:
            logins = await service.api.at_once("POST", "/login", bodies, FORM, patience=CROWD_PATIENCE)
            found = Crowd(logins, time.perf_counter() - begun, found.waits)
        finally:
            answered.set()

    async def look() -> None:
        while not answered.is_set():
            asked = time.perf_counter()
            try:
                await service.ask("GET", "/health", told=f"beside {CROWD} logins")
            except Failed:
                # It is given up, and has waited as well.
                return
            finally:
                found.waits.append(time.perf_counter() - asked)

    await at_once(log_in(), look())
    return found


# ticket

# How many come with the same ticket at the same time.
RIVALS = 8
# Seconds of the ticket that is left to age, and seconds beyond its time until it is shown: clocks that count whole
# seconds may round up.
SHORT, SPARE = 1, 1.3
# Of the time of an ordinary ticket, how much may pass until it is shown, and how often that is tried.
YOUNG, YOUNG_TRIES = 0.5, 2


async def rivals(service: Service) -> list[Visit]:
    """Come with one ticket many times at once; the visits that were let in."""
    ticket = await service.ticket()
    visits = await at_once(*(service.show(ticket) for _ in range(RIVALS)))
    let_in = await asyncio.gather(*(visit.let_in() for visit in visits))
    return [visit for visit, inside in zip(visits, let_in, strict=True) if inside]


@dataclass(frozen=True)
class Aged:
    """A ticket that was shown after its time, how long that was in seconds, and one shown within its time."""

    visit: Visit
    seconds: float
    young: Visit


async def aged(service: Service) -> Aged:
    """Let a ticket grow old: one that is good for a second, where the service sells such, or else an ordinary one.

    Raises:
        Failed: a ticket is promised for longer than may be.
        CannotJudge: there is no ticket, or the machine is too busy to show one in time.
    """
    longest = await service.buy(query="?seconds=3600")
    for answer in (longest, await service.buy()):
        promised = good_for(answer)
        if promised is not None and promised > TICKET_SECONDS:
            answer.fail(f"a ticket that is good for {TICKET_SECONDS} seconds at the most, whoever asks for more")
    short = await service.buy(query=f"?seconds={SHORT}")
    promised, ticket = good_for(short), ticket_within(short)
    if not short.ok or ticket is None or promised is None or promised > SHORT:
        # It does not let clients choose, so there is nothing for it but to wait.
        promised, ticket = TICKET_SECONDS, await service.ticket()
    seconds = promised + SPARE
    told = f"that was good for {promised:g} seconds, {seconds:g} seconds after it was bought"
    # The old one was bought first: where a new ticket makes those before it worthless, it is worthless anyway.
    old, young = await at_once(
        _shown_after(service, ticket, seconds, told), shown_in_time(service, min(seconds, YOUNG * TICKET_SECONDS))
    )
    return Aged(old, seconds, young)


async def _shown_after(service: Service, ticket: str, seconds: float, told: str) -> Visit:
    await asyncio.sleep(seconds)
    return await service.show(ticket, told=told)


async def shown_in_time(service: Service, seconds: float) -> Visit:
    """Show an ordinary ticket so many seconds after it was bought; again if the machine was too busy for that."""
    for _ in range(YOUNG_TRIES):
        begun = time.monotonic()
        ticket = await service.ticket()
        visit = await _shown_after(service, ticket, seconds, f"{seconds:g} seconds after it was bought")
        in_time = time.monotonic() < begun + TICKET_SECONDS
        if in_time or await visit.let_in():
            return visit
    raise CannotJudge("the machine is too busy to show a ticket in time.")


def good_for(answer: Exchange) -> float | None:
    """The seconds that an answer says a ticket is good for; None if it does not say."""
    body = answer.json()
    seconds = body.get("expires_in") if isinstance(body, dict) else None
    return float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else None


# expiry

# Seconds that a token lives which a socket is opened with: more if the machine was too busy for less.
LIVES = (2.5, 6.0, 12.0)
# Seconds before its end that a token must have opened its socket, seconds that a socket may close too early, since
# clocks are read in whole seconds, and too late, on a machine that may be busy.
IN_TIME, EARLY, LATE = 0.5, 0.3, 3.0


@dataclass(frozen=True)
class Expired:
    """Sockets whose token has expired.

    Attributes:
        expires: when it did, in seconds since 1970.
        began_with: seconds that it was good for when the first socket opened.
        ended: when the first socket ended; None if it did not.
        client: at that socket.
        other: at a socket with a good token, opened at the same time.
        late: who came with a ticket of that token when it had expired.
    """

    expires: int
    began_with: float
    ended: float | None
    client: Client
    other: Client
    late: Visit


async def expired(service: Service) -> Expired:
    """Open a socket by a token that expires soon, and another by a good one; wait.

    Raises:
        CannotJudge: no such token is taken.
    """
    other = await service.enter()
    token = await service.token("ada", "POST", "/ticket")
    for life in LIVES:
        expires = math.ceil(time.time() + life)
        dying = token.forged(exp=expires)
        try:
            client, kept = await service.enter(dying), await service.ticket(dying)
        except (CannotJudge, Failed):
            if time.time() < expires - IN_TIME:
                raise
            continue
        began_with = expires - time.time()
        if began_with > IN_TIME:
            break
    else:
        raise CannotJudge("the machine is too busy to open a socket in time.")
    await client.ended(began_with + LATE)
    ended = time.time() if client.ending else None
    await asyncio.sleep(max(0.0, expires + EARLY - time.time()))
    late = await service.show(kept, told="bought by a token that has expired meanwhile")
    return Expired(expires, began_with, ended, client, other, late)


async def after_words(service: Service, *words: str | bytes) -> Client:
    """Open a socket and say something there; it has ended, or has gone on afterwards."""
    client = await service.enter()
    for word in words:
        await client.say(word)
    # What was said is taken before a ping is answered.
    await client.pong(LATE)
    await client.received(len(client.messages) + 2, LATE)
    return client
