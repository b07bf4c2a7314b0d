"""What the checks of a price stream do with it: subscribers, strangers, crowds, clients that vanish or talk."""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations, pairwise
from typing import Any

from wirelab.checks import CannotJudge
from wirelab.checks.evidence import at_once
from wirelab.checks.exchange import shown
from wirelab.checks.price_clients import (
    FLOOD,
    INTERVAL,
    TOKEN,
    Client,
    Message,
    PriceStream,
    Stream,
    as_object,
    new_symbol,
    odd_symbol,
    subscription,
)

# Seconds until the first price of a subscriber, on a machine that may be busy.
FIRST_DEADLINE = 5.0
# How often an experiment is made before its outcome counts against the stream; and how often a client subscribes
# that is taken for a silent one.
ROUNDS, JOIN_ATTEMPTS = 2, 3


async def join(stream: Stream, symbol: str, seconds: float = FIRST_DEADLINE) -> Client:
    """Subscribe, and wait for the first price; again if a busy machine made the subscription too late."""
    for _ in range(JOIN_ATTEMPTS):
        client = await stream.subscribe(symbol)
        await client.received(1, seconds)
        if not (has_one_error(client) and client.messages[0].at - client.begun >= SILENT_FROM):
            break
    return client


def need_prices(*clients: Client, at_least: int = 2) -> None:
    """See that there is something to judge.

    Raises:
        CannotJudge: a client has fewer prices.
    """
    for client in clients:
        if len(client.messages) < at_least:
            raise CannotJudge(
                f"this needs prices that keep coming (exercise subscribe). Sent {client.said}; got {client.got}."
            )


def told(prices: Sequence[str]) -> str:
    """The first of some prices, in words."""
    return ", ".join(map(shown, prices[:5])) + (", …" if len(prices) > 5 else "")


def amount(count: int) -> str:
    """A number of prices, in words."""
    return "one price" if count == 1 else f"{count or 'no'} prices"


# subscribe

# How many prices a subscriber listens to, and how long at most: three times as long as they should take.
PRICES = 25
PRICES_DEADLINE = 3 * PRICES * INTERVAL
# Mean time between two prices, in intervals. A busy machine makes them late, never early.
QUICKEST, SLOWEST = 0.7, 1.6
WINDOWS = 3


async def subscribers(prices: PriceStream) -> dict[str, Client]:
    """Two clients with a symbol each, who listen for a while."""

    async def listen(symbol: str) -> Client:
        client = await join(prices.stream, symbol)
        await client.received(PRICES, PRICES_DEADLINE)
        return client

    symbols = new_symbol(), odd_symbol()
    clients = await at_once(*map(listen, symbols))
    await prices.stream.explain(*clients)
    return dict(zip(symbols, clients, strict=True))


def too_quick(client: Client) -> str:
    """What is wrong with a pace that is too quick, in words; empty if it is not."""
    count = min(len(client.messages), PRICES)
    seconds = client.messages[count - 1].at - client.subscribed
    if len(client.messages) < FLOOD and (count < PRICES or seconds >= QUICKEST * PRICES * INTERVAL):
        return ""
    return (
        f"{amount(count)} in {seconds:.2f} s; expected one each {INTERVAL:g} s, some {seconds / INTERVAL:.0f} in "
        "that time: is more than one sent before each pause?"
    )


async def too_slow(client: Client) -> str:
    """What is wrong with a pace that is too slow in each of a few windows, in words; empty if it is not."""
    pause, start = 0.0, 0
    for _ in range(WINDOWS):
        await client.received(start + PRICES, PRICES_DEADLINE)
        window = client.messages[start : start + PRICES]
        if len(window) < PRICES:
            return _stopped(client)
        pause = (window[-1].at - window[0].at) / (PRICES - 1)
        if pause <= SLOWEST * INTERVAL:
            return ""
        start = len(client.messages)
    return f"a price each {pause:.2f} s on average; expected one each {INTERVAL:g} s."


def _stopped(client: Client) -> str:
    now = time.perf_counter()
    end = client.end or ("nothing more" if now - client.messages[-1].at > 1 else "")
    return (
        f"{amount(len(client.messages))} in {now - client.subscribed:.1f} s{end and ', and then '}{end}; "
        f"expected a new price each {INTERVAL:g} s for as long as the client stays."
    )


# refuse

# Seconds in which a refused client is told so and closed, and in which a silent one is.
REFUSAL_DEADLINE = 3.0
SILENT_FROM, SILENT_TO = 0.8, 2.0
SILENT_CLIENTS = 3


def bad_subscriptions() -> list[tuple[str, str]]:
    """First messages that are JSON objects, but no subscription, each with its fault in words."""
    symbol = new_symbol()
    token_wrong = {
        "the token is wrong": secrets.token_hex(4),
        "the token is only the beginning of the right one": TOKEN[: secrets.randbelow(3) + 4],
        "the token is wrong (and has a letter beyond ASCII)": TOKEN.replace("o", "ö", 1),
        "the token is a number, no text": secrets.randbelow(1000),
        "the token is null, no text": None,
        "the token is a list, no text": [TOKEN],
    }
    symbol_wrong = {
        "the symbol is empty": "",
        "the symbol is a number, no text": secrets.randbelow(1000) + 1,
        "the symbol is null, no text": None,
        "the symbol is a list, no text": [symbol],
        "the symbol is an object, no text": {"name": symbol},
    }
    faulty: dict[str, dict[str, Any]] = {
        **{fault: {"token": token, "symbol": symbol} for fault, token in token_wrong.items()},
        "there is no token in it": {"symbol": symbol},
        **{fault: {"token": TOKEN, "symbol": bad} for fault, bad in symbol_wrong.items()},
        "there is no symbol in it": {"token": TOKEN},
    }
    return [(fault, json.dumps(message, ensure_ascii=False)) for fault, message in faulty.items()]


def garbage() -> list[tuple[str, str | bytes]]:
    """First messages that are no JSON objects, each with its fault in words."""
    good = subscription(new_symbol())
    return [
        ("it is no JSON", f"{new_symbol()}, please"),
        ("it is no JSON: it breaks off in the middle", good[: -secrets.randbelow(8) - 2]),
        ("it is no JSON: it is empty", ""),
        ("these bytes are no text at all, so they are no JSON", b"\x80\xfe" + secrets.token_bytes(8)),
        ("it is JSON, but a list and no object", json.dumps([TOKEN, new_symbol()])),
        ("it is JSON, but a text and no object", json.dumps(TOKEN)),
        ("it is JSON, but a number and no object", str(secrets.randbelow(1000))),
        ("it is JSON, but null and no object", "null"),
    ]


@dataclass(frozen=True)
class Refused:
    """A client whose first message was no subscription; without one if it kept silent."""

    client: Client
    fault: str
    message: str | bytes | None = None


@dataclass(frozen=True)
class Refusals:
    """What became of clients that the stream has to refuse."""

    subscriptions: list[Refused]
    garbage: list[Refused]
    silent: list[Refused]

    def silence_flaw(self) -> str:
        """What silent clients got instead of an error in time, in words; empty if most got one."""
        silent = [one.client for one in self.silent]
        refused = [client for client in silent if has_one_error(client)]
        if 2 * len(refused) < len(silent):
            return next(client.got for client in silent if client not in refused)
        # Early is counted from before the handshake, late from after it, and from when others were refused who
        # said something at once: a busy machine is nobody's fault.
        busy = [one.client.waited for one in [*self.subscriptions, *self.garbage] if has_one_error(one.client)]
        latest = statistics.median(client.waited for client in refused)
        earliest = statistics.median(client.waited + client.opened - client.begun for client in refused)
        if earliest >= SILENT_FROM and latest - statistics.median(busy or [0.0]) <= SILENT_TO:
            return ""
        return f"an error after {latest:.1f} s"


async def refusal(stream: Stream, fault: str, message: str | bytes | None) -> Refused:
    """Open a connection, send a first message or none, and see how it ends."""
    client = await stream.connect()
    if message is not None:
        await client.say(message)
    # More than one message is too many, whatever comes after it.
    await client.until(lambda: len(client.messages) > 1, REFUSAL_DEADLINE)
    await stream.explain(client)
    return Refused(client, fault, message)


async def refusals(prices: PriceStream) -> Refusals:
    """Everybody who is to be refused, at the same time; once more if the silent ones had to wait too long."""
    for _ in range(ROUNDS):
        seen = await _refuse(prices.stream)
        if not seen.silence_flaw():
            break
    return seen


async def _refuse(stream: Stream) -> Refusals:
    silent: list[tuple[str, str | bytes | None]] = [
        ("the client said nothing for a second", None)
    ] * SILENT_CLIENTS
    objects, others = bad_subscriptions(), garbage()
    refused = await at_once(*(refusal(stream, *case) for case in [*silent, *objects, *others]))
    first, last = len(silent), len(silent) + len(objects)
    return Refusals(refused[first:last], refused[last:], refused[:first])


def has_one_error(client: Client) -> bool:
    """Whether a client got exactly one message, and that was an error."""
    if len(client.messages) != 1:
        return False
    error = as_object(client.messages[0].raw).get("error")
    return isinstance(error, str) and bool(error)


# share

# Clients that come later, each at another moment between two prices: in intervals after the last price. Whatever
# the rhythm of the prices, some of these come right before a price and some right after one.
LATER = tuple(2 + 9 * number / 8 for number in range(8))
# Prices that the last of them listens to, and seconds at most.
SHARED = 18
SHARED_DEADLINE = 4 * SHARED * INTERVAL
# Share of prices that have to agree; and above which two symbols are the same.
AGREE, TOO_ALIKE = 0.8, 0.5
# How far apart equal prices are looked for, and may be, in seconds.
NEARBY, APART = 5 * INTERVAL, INTERVAL / 2
# Prices of each run, and how many in a row both runs may not have.
RUN, IN_A_ROW = 10, 6


@dataclass(frozen=True)
class Shared:
    """Clients of one symbol, and one of another."""

    together: list[Client]
    later: list[Client]
    other: Client

    @property
    def clients(self) -> list[Client]:
        """The clients of the one symbol."""
        return [*self.together, *self.later]

    def fault(self) -> str:
        """How two clients of the symbol differ, in words; empty if they do not."""
        crowd = f"Sent {self.clients[0].said} from {len(self.clients)} clients, {len(self.later)} of them later"
        for client in self.clients:
            if len(client.messages) < SHARED:
                return f"{crowd}; one got {client.got}; expected each to get a price each {INTERVAL:g} s."
        for pairs in (Pairs(*two) for two in combinations(self.clients, 2)):
            if pairs.equal < AGREE * pairs.count:
                return (
                    f"{crowd}; while two of them listened, one got {told(pairs.of_one)} and the other got "
                    f"{told(pairs.of_other)}; expected the same prices: a price belongs to the symbol, not to the "
                    "connection."
                )
        spread = statistics.median(self._spreads())
        if spread > APART:
            return (
                f"{crowd}; got the same prices, but a price reached the last of them {1000 * spread:.0f} ms after "
                f"the first; expected them to have it at the same time, within {1000 * APART:.0f} ms."
            )
        return ""

    def _spreads(self) -> list[float]:
        """For each price that the last client got: seconds from the first to the last client that got it."""
        *others, last = self.clients
        lags = ([_lag(message, other.messages) for other in others] for message in last.messages[1:])
        known = ([0.0, *(lag for lag in each if lag is not None)] for each in lags)
        return [max(each) - min(each) for each in known]


class Pairs:
    """The prices of one client, each with the nearest equal one of another.

    Attributes:
        of_one, of_other: the prices of both, from the time when both were listening.
        lags: seconds to the nearest equal price, for those of the one that have one nearby.
    """

    def __init__(self, one: Client, other: Client) -> None:
        """Compare what came while both were listening. The very first price may be an old one, for a newcomer."""
        mine, theirs = one.messages[1:], other.messages[1:]
        start = max(mine[0].at, theirs[0].at) + INTERVAL
        end = min(mine[-1].at, theirs[-1].at) - INTERVAL
        compared = one.between(start, end)
        self.lags = [lag for message in compared if (lag := _lag(message, theirs)) is not None]
        self.of_one = [message.price for message in compared]
        self.of_other = [message.price for message in other.between(start, end)]

    @property
    def count(self) -> int:
        """How many there are to compare, or should be."""
        return max(len(self.of_one), SHARED // 2)

    @property
    def equal(self) -> int:
        """How many have an equal one nearby."""
        return len(self.lags)

    @property
    def at_once(self) -> int:
        """How many have one at the same time."""
        return sum(abs(lag) <= APART for lag in self.lags)


def _lag(message: Message, others: Iterable[Message]) -> float | None:
    """Seconds from a message to the nearest one of the same price, if there is one nearby."""
    lags = (other.at - message.at for other in others if other.price == message.price)
    lag = min(lags, key=abs, default=NEARBY)
    return lag if abs(lag) < NEARBY else None


async def shared(prices: PriceStream) -> Shared:
    """Let clients of one symbol come together and later; once more if they differ, as on a busy machine."""
    for _ in range(ROUNDS):
        seen = await _share(prices.stream)
        if not seen.other.messages or not seen.fault():
            break
    return seen


async def _share(stream: Stream) -> Shared:
    symbol = new_symbol()
    *together, other = await at_once(*(join(stream, name) for name in (symbol, symbol, new_symbol())))
    first = together[0]
    await first.received(3, 3 * SLOWEST * INTERVAL)

    start = first.messages[-1].at if first.messages else time.perf_counter()

    async def come(after: float) -> Client:
        await asyncio.sleep(start + (after - 1) * INTERVAL - time.perf_counter())
        client = await stream.connect()
        await asyncio.sleep(start + after * INTERVAL - time.perf_counter())
        await client.subscribe(symbol)
        return client

    later = await at_once(*map(come, LATER))
    await at_once(*(client.received(SHARED + 1, SHARED_DEADLINE) for client in later))
    await stream.explain(*together, *later, other)
    return Shared(together, later, other)


async def run(prices: PriceStream, symbol: str, others: int) -> list[str]:
    """The first prices of a symbol in a new run; in a copy, beside so many other clients."""
    async with prices.serve_a_new_run() as stream:
        if prices.only_copies:
            # A generator that a cell has made goes on alike in every copy, unless others draw from it too.
            await at_once(*(join(stream, new_symbol()) for _ in range(others)))
        client = await join(stream, symbol)
        await client.received(RUN, 3 * RUN * INTERVAL)
        await stream.explain(client)
        need_prices(client, at_least=IN_A_ROW)
        return [message.price for message in client.messages]


def have_a_row_in_common(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether several prices in a row are the same in both, wherever they stand."""

    def rows(prices: Sequence[str]) -> set[tuple[str, ...]]:
        return {tuple(prices[at : at + IN_A_ROW]) for at in range(len(prices) - IN_A_ROW + 1)}

    return bool(rows(one) & rows(other))


# survive

# Clients that vanish: the first of all, those before and after the one among them; over how many seconds, and
# how many of them in one instant at the end.
BEFORE_AMONG, AFTER_AMONG = 24, 25
CROWD = 1 + BEFORE_AMONG + AFTER_AMONG
VANISHING, IN_ONE_INSTANT = 1.0, 12
# Prices before anybody vanishes, and seconds that are watched after the last one has.
CALM, WATCHED = 10, 1.2
# Share of the prices that a client has to get, of what one of another symbol gets, and prices that do not count.
WHOLE, STRAY = 0.75, 3
# Seconds until who comes after them has a price.
AFTER_DEADLINE = 2.5
# Seconds without a price that are too long, unless the other one has waited nearly as long.
TOO_LONG, LONGER = 0.5, 3.0

# What a talkative client says, how often, and seconds between two texts.
TALK = ("hello?", "", "{}", '{"price": 1}', "[1, 2", '["more"]', "null", "ACME, please", '{"type": "hi"}', "42")
TEXTS, TEXT_INTERVAL = 150, 0.01
# Seconds until the stream gives up a client whose pongs it does not get, and until the client gives up the stream.
PING_TIMEOUT, PONG_DEADLINE = 4.0, 8.0
HURRIED = 1.6


def longest_pause(client: Client, start: float, end: float) -> float:
    """Seconds that a client waited for a price at most, in a span of time."""
    moments = [start, *(message.at for message in client.between(start, end)), end]
    return max(later - earlier for earlier, later in pairwise(moments))


@dataclass(frozen=True)
class Span:
    """A span of time in which the streams of two clients are compared.

    Attributes:
        other: a client of another symbol, whom nothing befell.
        rate: prices a second in calmer times.
    """

    other: Client
    rate: float
    start: float
    end: float

    def fault(self, who: str, client: Client) -> str:
        """What is wrong with a client's stream, in words; empty if nothing is."""
        if client.ending:
            return f"{who} got {client.got}"
        count, seconds = len(client.between(self.start, self.end)), self.end - self.start
        pause = longest_pause(client, self.start, self.end)
        # A machine that is busy slows both down. What stops all streams at once shows against calmer times.
        expected = max(len(self.other.between(self.start, self.end)), self.rate * seconds / 2)
        bearable = max(TOO_LONG, LONGER * longest_pause(self.other, self.start, self.end))
        if count >= WHOLE * expected - STRAY and pause <= bearable:
            return ""
        gap = f", and none for {pause:.1f} s" if count and pause > TOO_LONG else ""
        return f"{who} got {amount(count)} in {seconds:.1f} s{gap}, where some {expected:.0f} were due"


@dataclass(frozen=True)
class Kin:
    """What two clients of one symbol got, from the first price that both got to the last one.

    Attributes:
        common: how many both got, in the same order.
        of_one, of_other: how many each got.
    """

    common: int
    of_one: int
    of_other: int

    @classmethod
    def of(cls, one: Client, other: Client) -> Kin:
        """Compare all that came so far. The very first price may be an old one, for a newcomer."""
        ours, theirs = ([message.price for message in client.messages[1:]] for client in (one, other))
        *blocks, end = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
        first, last = (blocks[0], blocks[-1]) if blocks else (end, end)
        common = sum(block.size for block in blocks)
        return cls(common, last.a + last.size - first.a, last.b + last.size - first.b)

    def fault(self) -> str:
        """What one of them lacks, in words; empty if nothing. TCP loses nothing, however busy the machine is."""
        most = max(self.of_one, self.of_other)
        if self.common == most:
            return ""
        return f"a client that stayed got {self.common} of the {most} prices of that time, and another the rest"


@dataclass(frozen=True)
class Vanished:
    """What many clients that vanished left behind.

    Attributes:
        before: the client that came before nearly all of them.
        fault: what is wrong with the streams of those who stayed, in words; empty if nothing is.
    """

    before: Client
    fault: str = ""


@dataclass(frozen=True)
class Talked:
    """What became of a client that went on talking.

    Attributes:
        texts: what it said.
        fault: what is wrong, in words; empty if nothing is.
        unread: whether it was never listened to.
    """

    talker: Client
    texts: list[str]
    fault: str = ""
    unread: bool = False


async def treated(prices: PriceStream) -> tuple[Vanished, Talked]:
    """Both kinds of rough treatment at the same time, each with a server of its own."""
    seen: list[Any] = await at_once(vanished(prices), talked(prices))
    return seen[0], seen[1]


async def vanished(prices: PriceStream) -> Vanished:
    """Let many clients vanish; once more, on a fresh server, if that did harm, as on a busy machine."""
    for _ in range(ROUNDS):
        async with prices.serve() as stream:
            seen = await _vanish(stream)
        if not seen.fault:
            break
    return seen


async def _vanish(stream: Stream) -> Vanished:
    symbol = new_symbol()
    # Whoever comes first may have become the owner of something that all others need.
    leaving = [await join(stream, symbol)]
    before, other = await _calm(stream, symbol) if leaving[0].messages else (leaving[0], leaving[0])
    if len(before.messages) < CALM:
        await stream.explain(before)
        return Vanished(before)
    calm = Kin.of(leaving[0], before)
    leaving += await at_once(*(join(stream, symbol) for _ in range(BEFORE_AMONG)))
    among = await join(stream, symbol)
    leaving += await at_once(*(join(stream, symbol) for _ in range(AFTER_AMONG)))
    start = time.perf_counter()
    rate = len(before.messages) / (start - before.opened)
    await _vanish_one_by_one(leaving)
    after = await join(stream, symbol, AFTER_DEADLINE)
    joined = time.perf_counter()
    await asyncio.sleep(WATCHED)
    end = time.perf_counter()
    await stream.explain(before, among, after)
    faults = (
        Span(other, rate, start, end).fault("a client that came before them", before),
        Span(other, rate, start, end).fault("a client that came among them", among),
        Span(other, rate, joined, end).fault("a client that came after them", after),
        # Who gives each client prices of its own has failed `share`, and nothing else.
        Kin.of(before, among).fault() if 2 * calm.common >= CALM and not calm.fault() else "",
    )
    return Vanished(before, next(filter(None, faults), ""))


async def _calm(stream: Stream, symbol: str) -> list[Client]:
    """Clients of this symbol and of another, who listen for a while."""
    clients = await at_once(join(stream, symbol), join(stream, new_symbol()))
    await at_once(*(client.received(CALM, PRICES_DEADLINE) for client in clients))
    return clients


async def _vanish_one_by_one(leaving: list[Client]) -> None:
    one_by_one, together = leaving[:-IN_ONE_INSTANT], leaving[-IN_ONE_INSTANT:]
    for client in one_by_one:
        client.vanish()
        await asyncio.sleep(VANISHING / len(one_by_one))
    for client in together:
        client.vanish()


async def talked(prices: PriceStream) -> Talked:
    """Let a client go on talking; once more, on a fresh server, if that only changed its pace."""
    for _ in range(ROUNDS):
        async with prices.serve(ping_timeout=PING_TIMEOUT) as stream:
            seen = await _talk(stream)
        if seen.talker.ending or not seen.fault:
            break
    return seen


async def _talk(stream: Stream) -> Talked:
    talker, other = await _calm(stream, new_symbol())
    texts: list[str] = []
    if len(talker.messages) < CALM:
        await stream.explain(talker)
        return Talked(talker, texts)
    start = time.perf_counter()
    rate = len(talker.messages) / (start - talker.opened)
    while len(texts) < TEXTS and not talker.ending:
        texts.append(secrets.choice(TALK))
        await talker.say(texts[-1])
        await asyncio.sleep(TEXT_INTERVAL)
    end = time.perf_counter()
    unread = not await talker.pong(PONG_DEADLINE) and len(texts) == TEXTS
    await talker.ended(FIRST_DEADLINE if unread else 0)
    await stream.explain(talker)
    if talker.ending or unread:
        return Talked(talker, texts, talker.end or "no answer to a ping", unread)
    count, due = len(talker.between(start, end)), len(other.between(start, end))
    if count - STRAY > HURRIED * due:
        return Talked(talker, texts, f"{amount(count)} in {end - start:.1f} s, where some {due} were due")
    return Talked(talker, texts, Span(other, rate, start, end).fault("the client", talker))
