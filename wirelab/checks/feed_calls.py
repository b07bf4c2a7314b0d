"""What the checks do with a client that stays connected: cut it off in every way, once and again and again."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from wirelab.checks.evidence import at_once
from wirelab.checks.feed_protocol import FIRST_DELAY, GOOD_SPELL, MAX_DELAY, NOTICE, Object, gap
from wirelab.checks.feed_server import BUSY, FAULTS, FIRST_DEADLINE, Call, Fault, Stage
from wirelab.checks.feed_trials import ROUNDS, STRAY

# Seconds until the client is back; it has to notice a freeze first. And until it is back in time: with its
# connection closed, and another one opened, after it has noticed.
RETURN = MAX_DELAY + BUSY
BACK: dict[Fault, float] = {"reset": RETURN, "restart": RETURN, "freeze": NOTICE + RETURN}
IN_TIME: dict[Fault, float] = BACK | {"freeze": NOTICE + FIRST_DELAY + 2.0}
# Seconds until an update has reached the caller.
ARRIVAL = 3.0


@dataclass
class Cut:
    """One call that was cut off.

    Attributes:
        fault: how.
        began: whether it connected and asked for all symbols before that.
        returned: whether it connected again.
        resubscribed: whether it greeted and asked for all symbols again.
        goes_on: whether the caller got an update that was made after that.
    """

    call: Call
    fault: Fault
    began: bool = False
    returned: bool = False
    resubscribed: bool = False
    goes_on: bool = False


async def arrives(call: Call, symbols: Sequence[str]) -> bool:
    """Make an update of each symbol, and see whether all of them reach the caller."""
    await call.make(*symbols)
    newest = [call.made[symbol][-1] for symbol in symbols]
    return all([await call.has_yielded(update, ARRIVAL) for update in newest])


async def cut_once(stage: Stage, fault: Fault) -> Cut:
    """Let a client begin, cut it off, and see whether it is all right again."""
    async with stage.call() as call:
        cut = Cut(call, fault)
        cut.began = await call.connected(1, FIRST_DEADLINE) and await arrives(call, call.symbols)
        if cut.began:
            await call.fault(fault)
            cut.returned = await call.visited(2, IN_TIME[fault])
            cut.resubscribed = cut.returned and await call.connected(2, ARRIVAL)
            cut.goes_on = cut.resubscribed and await arrives(call, call.symbols)
        return cut


async def freeze(stage: Stage) -> Cut:
    """Freeze a client's feed; once more if the client comes back late, as on a busy machine."""
    for _ in range(ROUNDS):
        cut = await cut_once(stage, "freeze")
        if cut.returned or cut.call.ended or not cut.began:
            break
    return cut


# Calls that are cut off again and again at the same time, because a single delay is a matter of luck.
CALLS = 12
# How each of them is cut off, one after the other, before it may stay; the last two have got as far as a welcome.
OFTEN = ("refused", "refused", "reset", "reset", "restart", "restart")
# Which of the delays are long ones, and by how many seconds their mean is above that of the first ones, and of
# those after a good spell: they should be by 0.4 and more. It is a difference, because connecting takes its time
# each time, and on a busy machine much of it.
LONG, LONGER = slice(4, 6), 4 * FIRST_DELAY
# Seconds over which the calls begin: a dozen that connect at once get in each other's way.
SPREAD = 0.5
# Standard deviation, as a share of the mean, that delays of the same rank have at least; 0.19 if half of each is
# drawn at random, 0.58 if all of it is.
JITTER = 0.1


@dataclass
class Absences:
    """How long each call stayed away.

    Attributes:
        delays: for each call, seconds between the end of a connection and the next handshake.
        anew: for each call, the same after a good spell.
        stuck: a call that did not come back, and after what.
    """

    delays: list[list[float]] = field(default_factory=list)
    anew: list[float] = field(default_factory=list)
    stuck: tuple[Call, str] | None = None

    @property
    def by_rank(self) -> list[list[float]]:
        """The delays after the first cut of all calls, those after the second, and so on."""
        return [list(rank) for rank in zip(*self.delays, strict=True)]

    @property
    def long(self) -> float:
        """The mean of the long delays."""
        return statistics.fmean(delay for rank in self.by_rank[LONG] for delay in rank)

    @property
    def grows(self) -> bool:
        """Whether the long delays are longer than the first ones."""
        return self.long - statistics.median(self.by_rank[0]) >= LONGER

    @property
    def jitter(self) -> float:
        """How much the long delays of different calls differ, as a share of their mean."""
        return statistics.fmean(statistics.pstdev(rank) / statistics.fmean(rank) for rank in self.by_rank[LONG])

    @property
    def starts_over(self) -> bool:
        """Whether the delays after a good spell are short again."""
        return self.long - statistics.fmean(self.anew) >= LONGER

    @property
    def told(self) -> str:
        """The delays in words."""
        return ", ".join(f"{1000 * statistics.fmean(rank):.0f}" for rank in self.by_rank) + " ms"


async def absences(stage: Stage) -> Absences:
    """Cut off several calls again and again; once more if the delays are not as they should be."""
    for _ in range(ROUNDS):
        seen = Absences()
        await at_once(*(_cut_often(stage, seen, SPREAD * number / CALLS) for number in range(CALLS)))
        if seen.stuck or (seen.grows and seen.starts_over):
            break
    return seen


async def _cut_often(stage: Stage, seen: Absences, later: float) -> None:
    await asyncio.sleep(later)
    async with stage.call(symbols=1, refuses=OFTEN.count("refused")) as call:
        ends: list[float] = []
        for number, how in enumerate(OFTEN, 1):
            if seen.stuck or not await call.visited(number, RETURN if ends else FIRST_DEADLINE):
                seen.stuck = seen.stuck or (call, OFTEN[number - 2] if ends else "")
                return
            if how == "refused":
                ends.append(call.visits[-1].at)
            elif how == "reset":
                ends.append(await call.fault("reset"))
            else:
                await call.welcomed(number, ARRIVAL)
                ends.append(await call.fault("restart"))
        if not await call.welcomed(len(OFTEN) + 1, RETURN):
            seen.stuck = seen.stuck or (call, OFTEN[-1])
            return
        begun = time.perf_counter()
        # A good spell brings something; all of it has arrived before the end, so nothing is missed.
        await arrives(call, list(call.visits[-1].subscribed))
        await asyncio.sleep(begun + 1.3 * GOOD_SPELL - time.perf_counter())
        end = await call.fault("reset")
        if not await call.visited(len(OFTEN) + 2, RETURN):
            seen.stuck = seen.stuck or (call, "reset")
            return
        ends.append(end)
        times = [visit.at for visit in call.visits[1:]]
        delays = [at - end for end, at in zip(ends, times, strict=False)]
        seen.delays.append(delays[:-1])
        seen.anew.append(delays[-1])


@dataclass(frozen=True)
class Refused:
    """A call that the feed refused, with close code 1008.

    Attributes:
        when: when that was, in words.
        complete: whether it came to that.
        came_back: whether it connected once more.
    """

    call: Call
    when: str
    complete: bool
    came_back: bool = False


async def _refuse(stage: Stage, when: str) -> Refused:
    async with stage.call(symbols=1) as call:
        number = 1
        complete = await call.connected(1, FIRST_DEADLINE)
        if complete and when != "at once":
            complete = await arrives(call, call.symbols)
        if complete and when == "when it had come back":
            number = 2
            await call.fault("reset")
            complete = await call.connected(2, RETURN)
        if not complete:
            return Refused(call, when, False)
        await call.refuse(f"Not for you any more ({secrets.token_hex(4)})")
        came_back = await call.visited(number + 1, RETURN)
        return Refused(call, when, True, came_back)


async def refusals(stage: Stage) -> list[Refused]:
    """Refuse a client at once, after a while, and when it has come back."""
    times = ("at once", "after some updates", "when it had come back")
    return await at_once(*(_refuse(stage, when) for when in times))


@dataclass(frozen=True)
class Reconnections:
    """What a client made of being cut off and refused.

    Attributes:
        cuts: one call for each fault; only one if that did not even begin.
        absences: None if the client does not come back.
        refusals: calls that were refused.
    """

    cuts: list[Cut]
    absences: Absences | None = None
    refusals: list[Refused] = field(default_factory=list)


async def reconnections(stage: Stage) -> Reconnections:
    """Everything at the same time, if one cut shows that it is worth while."""
    first = await cut_once(stage, "reset")
    if not first.began:
        return Reconnections([first])
    async with asyncio.TaskGroup() as group:
        others = [group.create_task(one) for one in (freeze(stage), cut_once(stage, "restart"))]
        refused = group.create_task(refusals(stage))
        away = group.create_task(absences(stage)) if first.returned else None
    return Reconnections(
        [first, *(other.result() for other in others)], away.result() if away else None, refused.result()
    )


# resume


@dataclass
class Resumed:
    """A call that was cut off while updates went on.

    Attributes:
        told: what was done to it, in words.
        complete: whether it came back each time.
        expected: for each symbol, what the caller should have got.
    """

    call: Call
    told: str
    complete: bool = False
    expected: dict[str, list[Object]] = field(default_factory=dict)

    async def settle(self) -> None:
        """Wait until the caller has got as much as it should, and a little longer for more."""
        due = sum(map(len, self.expected.values()))
        await self.call.until(lambda: len(self.call.yielded) >= due, ARRIVAL)
        await asyncio.sleep(STRAY)
        self.complete = True


async def _cut_amid(stage: Stage, *faults: Fault, silent: bool = False) -> Resumed:
    """Cut a call off while updates go on; `silent`: before the first one of them."""
    async with stage.call() as call:
        ways = ", then ".join(FAULTS[fault] for fault in faults)
        when = "before the first update" if silent else "amid updates"
        seen = Resumed(call, f"{ways} {when}, and made more while it was away")
        if not await call.connected(1, FIRST_DEADLINE):
            return seen
        if not silent and not await arrives(call, call.symbols):
            return seen
        for number, fault in enumerate(faults, 2):
            if not silent:
                # Some of these get lost on the way.
                await call.make(*3 * call.symbols)
            await call.fault(fault)
            await call.make(*call.symbols, *secrets.SystemRandom().choices(call.symbols, k=4))
            if not await call.connected(number, BACK[fault]):
                return seen
            await call.make(*call.symbols)
        seen.expected = dict(call.made)
        await seen.settle()
        return seen


async def _forget(stage: Stage) -> Resumed:
    """Cut a call off, and keep too little of one symbol meanwhile, but enough of another."""
    async with stage.call(symbols=2) as call:
        short, long = call.symbols
        seen = Resumed(call, f"{FAULTS['reset']}, and kept too few of the updates of {short} meanwhile")
        if not (await call.connected(1, FIRST_DEADLINE) and await arrives(call, call.symbols)):
            return seen
        before, last = list(call.made[short]), call.seqs[short]
        await call.fault("reset")
        await call.make(short, long, short, short)
        call.forget(short)
        notice = gap(short, last, call.seqs[short])
        await call.make(short, short)
        if not await call.connected(2, RETURN):
            return seen
        await call.make(short, long)
        kept = [update for update in call.made[short] if update["seq"] > notice["seq"]]
        seen.expected = {short: [*before, notice, *kept], long: call.made[long]}
        await seen.settle()
        return seen


async def _start_anew(stage: Stage) -> Resumed:
    """Cut a call off, and count from a lower number when it comes back."""
    async with stage.call(symbols=1) as call:
        [symbol] = call.symbols
        call.start_anew(symbol, 1000 + secrets.randbelow(1000))
        lower = secrets.randbelow(900)
        seen = Resumed(
            call, f"{FAULTS['restart']}, and counted from {lower} when it came back: a feed that was started anew"
        )
        if not (await call.connected(1, FIRST_DEADLINE) and await arrives(call, [symbol])):
            return seen
        before, last = list(call.made[symbol]), call.seqs[symbol]
        # Before the client can be back.
        call.start_anew(symbol, lower)
        await call.fault("restart")
        if not await call.connected(2, RETURN):
            return seen
        await call.make(symbol, symbol)
        seen.expected = {symbol: [*before, gap(symbol, last, lower), *call.made[symbol][len(before) :]]}
        await seen.settle()
        return seen


@dataclass(frozen=True)
class Resumptions:
    """What callers saw of updates that went on while their client was away."""

    whole: list[Resumed]
    forgotten: Resumed
    anew: Resumed


async def resumptions(stage: Stage) -> Resumptions:
    """All ways to be cut off, at the same time, if the first one goes well."""
    silent = await _cut_amid(stage, "reset", silent=True)
    if not silent.complete:
        return Resumptions([silent], silent, silent)
    *whole, forgotten, anew = await at_once(
        _cut_amid(stage, "reset", "restart", "reset"),
        _cut_amid(stage, "freeze"),
        _forget(stage),
        _start_anew(stage),
    )
    return Resumptions([*whole, silent], forgotten, anew)
