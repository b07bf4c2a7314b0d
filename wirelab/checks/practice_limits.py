"""Lab 05, exercise ``limits``: a burst, then a steady rate, for each caller (RFC 6585, 4; RFC 9110, 10.2.3).

There are many right ways to count. A token bucket, a leaky bucket and GCRA let one request in each fifth of a
second
once the burst is spent. A sliding log lets none in until the burst is four seconds old, and then as many again. A
fixed window looks like one of these, until somebody spends one window's share at its end and the next one's at
once:
so a limiter that pauses after the burst is tried just there.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from http import HTTPStatus

from wirelab.checks import CannotJudge, Check, Exercise, Failed, NotAttempted
from wirelab.checks.evidence import at_once
from wirelab.checks.exchange import NOT_WRITTEN, Exchange, named, shown
from wirelab.checks.practice_service import BURST, RATE, Practice, new_key

# Seconds in which the steady rate brings as much as the burst: the window of a limiter that counts in windows.
WINDOW = BURST / RATE
# Seconds for which a caller goes on after the burst, and between two requests of it.
STEADY, PAUSE = 1.6, 0.05
# Of the steady rate, how much has to come and how much may; and requests more or fewer, for a busy machine.
LEAST, MOST, SLACK = 0.5, 1.4, 3
# Seconds before the end of a window at which its share is spent, and after it at which the next one's is.
BEFORE, AFTER = 1.2, 0.2
# Seconds beyond a window until a pause is taken for the end.
PATIENCE = 2.0
# Retry-After in seconds, at most; and how often it is tried.
LONGEST, TRIES = 10, 2


class Caller:
    """Somebody with a key, who counts what is let in."""

    def __init__(self, practice: Practice, key: str | None = None) -> None:
        """Call with this key; an empty one sends none."""
        self._practice = practice
        self.headers = {"X-API-Key": new_key() if key is None else key}
        self.let_in: list[float] = []
        self.begun = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since this caller appeared."""
        return time.perf_counter() - self.begun

    async def call(self) -> Exchange:
        """One request.

        Raises:
            Failed: it makes the server fail.
            CannotJudge: it gets neither an answer nor a 429.
        """
        path = f"{self._practice.collection}?limit=1"
        answer = await self._practice.api.ask("GET", path, headers=self.headers)
        if answer.ok:
            self.let_in.append(self.elapsed)
        elif answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and answer.status not in NOT_WRITTEN:
            answer.fail(f"an answer, or {named(429)}")
        elif answer.status != HTTPStatus.TOO_MANY_REQUESTS:
            raise CannotJudge(f"this needs GET {self._practice.collection} to work. {answer.said}.")
        return answer

    async def until_refused(self) -> Exchange | None:
        """Call without a pause until there is a 429; None if far more was let in than may be."""
        count = 0
        while count <= BURST + RATE * self.elapsed * MOST + BURST:
            answer = await self.call()
            if not answer.ok:
                return answer
            count += 1
        return None


@dataclass
class Flood:
    """One caller who does not stop.

    Attributes:
        burst: what was let in before the first 429.
        burst_seconds: how long that took.
        refusal: that 429, if there was one.
        steady: when a request was let in after it, in seconds after it.
        steady_seconds: how long the caller went on.
        pause: seconds after the first request until one was let in again, if the steady rate was not kept.
        around: what was let in around the end of a window, and in how many seconds, if it was tried.
    """

    burst: int
    burst_seconds: float
    refusal: Exchange | None
    steady: list[float] = field(default_factory=list)
    steady_seconds: float = 0.0
    pause: float | None = None
    around: tuple[int, float] | None = None

    @property
    def too_slow(self) -> bool:
        """Whether less came in than the steady rate, at some time on the way."""
        return _lags(self.steady, self.steady_seconds)


def _lags(times: list[float], until: float) -> bool:
    return any(LEAST * RATE * at - SLACK / 2 > number for number, at in enumerate([*times, until]))


async def flood(practice: Practice) -> Flood:
    """Call as fast as it goes, and go on for a while; then look at pauses, if there are any."""
    caller = Caller(practice)
    refusal = await caller.until_refused()
    seen = Flood(len(caller.let_in), caller.elapsed, refusal)
    if refusal is None:
        return seen
    refused_at = caller.elapsed
    while seen.steady_seconds < STEADY and not seen.too_slow:
        await asyncio.sleep(PAUSE)
        await caller.call()
        seen.steady = [at - refused_at for at in caller.let_in[seen.burst :]]
        seen.steady_seconds = caller.elapsed - refused_at
    if seen.too_slow:
        await _pause(caller, seen)
    return seen


async def _pause(caller: Caller, seen: Flood) -> None:
    before = len(caller.let_in)
    while len(caller.let_in) == before:
        if caller.elapsed > WINDOW + PATIENCE + seen.burst_seconds:
            return
        await asyncio.sleep(PAUSE)
        await caller.call()
    seen.pause = opened = caller.let_in[-1]
    # If it counts in windows, then one has just begun.
    spent = len(caller.let_in)
    await asyncio.sleep(max(opened + WINDOW - BEFORE - caller.elapsed, 0))
    await caller.until_refused()
    await asyncio.sleep(max(opened + WINDOW + AFTER - caller.elapsed, 0))
    await caller.until_refused()
    times = caller.let_in[spent:]
    seen.around = len(times), times[-1] - times[0] if times else 0.0


async def untouched(practice: Practice) -> None:
    """Nobody is ever refused."""
    seen = await practice.evidence(flood)
    if seen.refusal is None:
        raise NotAttempted(
            f"{seen.burst} requests of one caller within {_seconds(seen.burst_seconds)} all got an answer."
        )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} seconds"


async def limits_burst(practice: Practice) -> None:
    """As many as the burst at once, and not many more."""
    seen = await practice.evidence(flood)
    sent = f"Sent GET {practice.collection} with a new X-API-Key, again and again without a pause"
    if seen.burst < BURST:
        raise Failed(f"{sent}; got 429 after {seen.burst} requests; expected {BURST} to be let in at once.")
    most = BURST + RATE * seen.burst_seconds * MOST + SLACK
    if seen.burst > most or seen.refusal is None:
        raise Failed(
            f"{sent}; got {seen.burst} answers in {_seconds(seen.burst_seconds)} and no 429; expected one after "
            f"{BURST} and what {RATE} a second bring meanwhile."
        )


async def limits_rate(practice: Practice) -> None:
    """Afterwards the steady rate, in whatever portions."""
    seen = await practice.evidence(flood)
    if seen.refusal is None:
        raise CannotJudge("this needs a 429 after the burst (the check limits.burst).")
    sent = f"Sent GET {practice.collection} with one X-API-Key on and on after its burst"
    for number, at in enumerate(seen.steady, 1):
        if number > MOST * RATE * at + SLACK:
            raise Failed(
                f"{sent}; got {number} more answers within {_seconds(at)}; expected about {RATE} a second. Does "
                "everybody get a whole new burst when a fixed window ends?"
            )
    if not seen.too_slow:
        return
    if seen.pause is None or seen.around is None:
        raise Failed(
            f"{sent}; got {len(seen.steady)} answers in {_seconds(WINDOW + PATIENCE)}; expected about {RATE} a "
            "second. "
            "Do requests that are refused count as well?"
        )
    count, seconds = seen.around
    if count > BURST + RATE * seconds + SLACK:
        raise Failed(
            f"{sent}, waited, and went on {WINDOW:g} seconds after it had been let in again; got {count} answers "
            "within "
            f"{_seconds(seconds)}; expected at most {BURST} and {RATE} a second: where one fixed window ends and "
            "the "
            "next begins, this lets in twice the burst."
        )
    if count < LEAST * BURST:
        raise Failed(
            f"{sent}, and waited {WINDOW - BEFORE:g} seconds; got {count} answers; expected about {BURST}, "
            "because a "
            f"caller who waits earns {RATE} requests a second."
        )


async def limits_retry_after(practice: Practice) -> None:
    """What a 429 says is true, for several callers at a time."""
    await at_once(*(_retried(practice) for _ in range(TRIES)))


async def _retried(practice: Practice) -> None:
    caller = Caller(practice)
    refusal = await caller.until_refused()
    if refusal is None:
        raise CannotJudge("this needs a 429 after the burst (the check limits.burst).")
    said = refusal.headers.get("retry-after")
    words = f"{refusal.said}, and {f'Retry-After: {shown(said)}' if said is not None else 'no Retry-After header'}"
    if said is None or not re.fullmatch(r"\d{1,9}", said):
        raise Failed(f"{words}; expected Retry-After: 1, or how many whole seconds there are to wait.")
    if (seconds := int(said)) > LONGEST:
        raise Failed(f"{words}; expected a few seconds, because {RATE} requests a second are let in again.")
    await asyncio.sleep(seconds)
    answer = await caller.call()
    if not answer.ok:
        rule = "that is what it said" if seconds else "whole seconds have to be rounded up"
        raise Failed(
            f"{words}. Waited {seconds} s, and tried once more; got {named(answer.status)} again; expected to be "
            f"let in: {rule}."
        )


async def limits_neighbours(practice: Practice) -> None:
    """One caller's flood, and another's call."""
    caller = Caller(practice)
    if await caller.until_refused() is None:
        raise CannotJudge("this needs a 429 after the burst (the check limits.burst).")
    for _ in range(3):
        neighbour = Caller(practice)
        answer = await neighbour.call()
        if not answer.ok:
            answer.fail(f"{named(200)}, because this caller has asked for nothing yet: it was another who flooded")


async def limits_keyless(practice: Practice) -> None:
    """Without a key, the address is the caller."""
    # Where nobody has a whole burst, another check says so.
    least = BURST if (await practice.evidence(flood)).burst >= BURST else 1
    for wait in (0.0, WINDOW + AFTER):
        # Others may have spent a bucket that is everybody's, for which another check is there: it fills again.
        await asyncio.sleep(wait)
        caller = Caller(practice, "")
        try:
            refusal = await caller.until_refused()
        except CannotJudge as fault:
            raise Failed(
                f"{str(fault).partition('. ')[2].removesuffix('.')}; expected an answer without a key."
            ) from None
        if len(caller.let_in) >= least:
            break
    else:
        raise Failed(
            f"Sent GET {practice.collection} without X-API-Key, again and again without a pause; got 429 after "
            f"{len(caller.let_in)} requests; expected {least} to be let in at once: calls without a key share the "
            "limit of their address, and have a burst, too."
        )
    if refusal is None:
        raise Failed(
            f"Sent GET {practice.collection} without X-API-Key {len(caller.let_in)} times; got an answer each "
            "time; "
            "expected a 429: calls without a key share the limit of their address."
        )


LIMITS = Exercise(
    name="limits",
    title="Limits for each caller",
    hints=(
        "Nobody has to fill a bucket all the time. When a request comes, ask: how many tokens have come since I "
        "looked last?",
        "Keep two numbers for each caller: the tokens, and when you counted them, by `time.monotonic()`. A new "
        "caller has BURST. The wait is what is missing for a whole token, divided by RATE.",
        "`now = time.monotonic()`, `tokens, counted = buckets.get(caller, (BURST, now))`, then `tokens = "
        "min(BURST, tokens + (now - counted) * RATE)`. If there is less than one: `buckets[caller] = tokens, "
        "now` and `return math.ceil((1 - tokens) / RATE)`. Otherwise `buckets[caller] = tokens - 1, now` and "
        "`return 0`.",
    ),
    checks=(
        Check(
            "limits.burst",
            0.25,
            f"A caller, known by its X-API-Key, gets {BURST} requests through at once; then there is a 429.",
            "Programs come in bursts: a page that opens asks for ten things. A limit that forbids this is in the "
            "way.",
            limits_burst,
        ),
        Check(
            "limits.rate",
            0.5,
            f"After the burst, about {RATE} requests a second are let in, at any time, and never a second burst "
            "at once.",
            "The service is built for that rate. A window that starts anew lets in twice the burst where two "
            "meet.",
            limits_rate,
        ),
        Check(
            "limits.retry_after",
            0.25,
            "A 429 has a Retry-After in whole seconds, after which a retry is let in.",
            "A program that is told when to come back need not try, and a crowd of them does not come too early.",
            limits_retry_after,
        ),
        Check(
            "limits.neighbours",
            0.25,
            "While one caller is refused, another gets an answer.",
            "A limit protects callers from each other. One bucket for all lets a single one lock everybody out.",
            limits_neighbours,
        ),
        Check(
            "limits.keyless",
            0.25,
            f"Calls without an X-API-Key get {BURST} requests through at once, and then a 429, too.",
            "Otherwise leaving out the key would be the way around the limit.",
            limits_keyless,
        ),
    ),
    needs=("app",),
    opens=Practice.open,
    untouched=untouched,
    deadline=75.0,
)
