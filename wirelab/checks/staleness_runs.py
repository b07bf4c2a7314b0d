"""Runs of the functions of lab 04: several side by side first, then alone whatever looked wrong.

A busy machine delays what it likes, and an ``async`` function that blocks is right as long as it runs alone. So
a fault counts only if it shows in every run that a check looks at, the last of them without company.
"""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

from wirelab.checks import CannotJudge, Failed, RemoteError, Target
from wirelab.checks.evidence import FunctionSubject, at_once
from wirelab.checks.exchange import shown

# How often a run is made before what it shows counts against the function: as a rule, and if time tells.
ROUNDS, TIMED_ROUNDS = 2, 3
# Seconds for a call that only shows whether anything is written, and whether the process is free.
PROBE_DEADLINE = 4.0
# Seconds by which a clock may be off and still be ours.
SAME_CLOCK, SLACK = 1.0, 0.002


@dataclass(frozen=True)
class Outcome:
    """How a call ended; times are in `perf_counter` seconds.

    Attributes:
        called: when it was made.
        ended: when it had ended, or was given up.
        value: what it returned, as JSON.
        error: what it raised.
    """

    kind: Literal["returned", "raised", "went on"]
    called: float
    ended: float
    value: Any = None
    error: RemoteError | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.called

    @property
    def told(self) -> str:
        """How it ended, in words."""
        match self.kind:
            case "returned":
                return f"it returned {brief(self.value)} after {self.seconds:.1f} s"
            case "raised":
                return f"it raised {shown(str(self.error))}"
        return f"it had not returned after {self.seconds:.1f} s"

    @property
    def unwritten(self) -> bool:
        """Whether it met a stub."""
        return self.error is not None and self.error.names[0] == "NotImplementedError"


async def outcome_of(target: Target, patience: float, name: str, *args: Any) -> Outcome:
    """Call a function of the target, and see how it ends within so many seconds."""
    called = time.perf_counter()
    try:
        async with asyncio.timeout(patience):
            value = await target.call(name, *args)
    except TimeoutError:
        return Outcome("went on", called, time.perf_counter())
    except RemoteError as error:
        return Outcome("raised", called, time.perf_counter(), error=error)
    return Outcome("returned", called, time.perf_counter(), value)


def brief(value: Any) -> str:
    """A returned value as a message shows it."""
    return shown(repr(value))


# What a function saw.


@dataclass(frozen=True)
class Sighting:
    """An update that the function says it saw; `at` is its `seen_at`."""

    seq: int
    at: float


def sightings(outcome: Outcome) -> list[Sighting]:
    """Read what was returned.

    Raises:
        Failed: it is no list of pairs; its text is what was got and expected.
    """
    if outcome.kind != "returned":
        raise Failed(f"got nothing, for {outcome.told}; expected a list of (seq, seen_at)")
    seen = [_sighting(one) for one in outcome.value] if isinstance(outcome.value, list) else [None]
    if None in seen:
        raise Failed(
            f"got {brief(outcome.value)}; expected a list of (seq, seen_at), the number of each update and the "
            "time.perf_counter() at which it was there"
        )
    return [one for one in seen if one]


def _sighting(pair: Any) -> Sighting | None:
    match pair:
        case [bool(), _] | [_, bool()]:
            return None
        case [int(seq), int(at) | float(at)] if math.isfinite(at):
            return Sighting(seq, at)
    return None


@contextmanager
def failing_after(said: str) -> Iterator[None]:
    """Put what was called and sent before the text of a failure in this block."""
    try:
        yield
    except Failed as fault:
        raise Failed(f"{said}; {fault}.") from None


class Run(ABC):
    """A run that was made.

    Attributes:
        function: the name of what was called.
        outcome: how the call ended.
    """

    function: ClassVar[str]
    outcome: Outcome

    @property
    @abstractmethod
    def called(self) -> str:
        """The call in words."""

    def need_sightings(self) -> list[Sighting]:
        """Read what was returned.

        Raises:
            CannotJudge: it is no list of pairs.
        """
        try:
            return sightings(self.outcome)
        except Failed as fault:
            message = f"this needs the list that {self.function} returns. {self.called}; {fault}."
            raise CannotJudge(message) from None


# By which clock it was seen.


@dataclass(frozen=True)
class Span:
    """When an update was seen, in the function's time, and between which moments that must have been, in ours."""

    seq: int
    seen: float
    earliest: float
    latest: float


def clock_offset(spans: list[Span], called: float) -> float:
    """Seconds that the function's clock is ahead of ours, if it is another one; 0 if they are the same.

    `perf_counter` counts alike in all processes of one Linux machine, except in a time namespace (man 7
    time_namespaces). Then the two differ by a constant, and each update says between which limits it lies.

    Raises:
        Failed: it is another clock on the same machine; the text is what was got and expected.
    """
    most = min(span.seen - span.earliest for span in spans)
    least = max(span.seen - span.latest for span in spans)
    if least > most + SLACK or abs(most) < SAME_CLOCK:
        return 0.0
    first = spans[0]
    if abs(most - (time.time() - time.perf_counter())) < 3600:
        raise Failed(
            f"got seen_at {first.seen:.2f} for seq {first.seq}, which is the time of day; expected "
            "time.perf_counter(): the time of day is put right now and then, and jumps"
        )
    if abs(most + called) < 60:
        raise Failed(
            f"got seen_at {first.seen:.2f} for seq {first.seq}, which is counted from the call; expected "
            "time.perf_counter() as it is, which can be compared with when the update was made"
        )
    return most


def offset_note(offset: float) -> str | None:
    """What a check says when it had to allow for another clock."""
    if not offset:
        return None
    return f"(Your process's perf_counter is {offset:.1f} s from the check's, a constant that was allowed for.)"


# Rounds of runs.


R = TypeVar("R", bound=Run)


class Runs(FunctionSubject, ABC, Generic[R]):
    """Makes runs of a function.

    Attributes:
        hangs: whether a call was found that does not end.
    """

    def __init__(self, target: Target) -> None:
        """Use `open`."""
        super().__init__(target)
        self.hangs = False

    @abstractmethod
    async def run(self, name: str) -> R:
        """Make the run of this name."""

    @abstractmethod
    async def shortest(self) -> R:
        """Make a run that is as short as can be."""

    async def probe(self) -> R:
        """Make the shortest run, which also starts the process and loads what the function imports."""
        probe = await self.shortest()
        self.hangs = probe.outcome.kind == "went on"
        return probe

    async def free(self) -> bool:
        """Whether calls end: a function that blocks its event loop holds up all others."""
        if not self.hangs:
            await self.probe()
        return not self.hangs


Judge: TypeAlias = Callable[[R], str | None]
"""Raises ``Failed`` or ``CannotJudge``, or returns a note for the one who passed."""
Answer: TypeAlias = Failed | CannotJudge | str | None


async def answers(
    questions: Mapping[str, Mapping[str, Judge[R]]], runs: Runs[R], timed: Collection[str]
) -> dict[str, Answer]:
    """Ask every question of runs side by side, and once more of runs alone where the answer was bad.

    Args:
        questions: by check: the runs that it looks at, by name, and how it judges each.
        runs: makes the runs.
        timed: the checks in which a few hundredths of a second tell right from wrong.

    Returns:
        By check, the first bad answer, or else a note, or nothing.
    """
    names = sorted({name for asked in questions.values() for name in asked})
    made = dict(zip(names, await at_once(*map(runs.run, names)), strict=True))
    found = {
        (check, name): _answer(judge, made[name])
        for check, asked in questions.items()
        for name, judge in asked.items()
    }
    for rounds in range(1, TIMED_ROUNDS):
        bad = [place for place, answer in found.items() if isinstance(answer, Exception)]
        bad = [(check, name) for check, name in bad if rounds < ROUNDS or check in timed]
        if not bad or not await runs.free():
            break
        again = {name: await runs.run(name) for name in sorted({name for _, name in bad})}
        found |= {(check, name): _answer(questions[check][name], again[name]) for check, name in bad}
    return {check: _of_all([found[check, name] for name in asked]) for check, asked in questions.items()}


def _answer(judge: Judge[R], run: R) -> Answer:
    try:
        return judge(run)
    except (Failed, CannotJudge) as fault:
        return fault


def _of_all(answers: list[Answer]) -> Answer:
    """What several answers come to: a failure before all else, then what could not be judged, then a note."""
    for kind in (Failed, CannotJudge, str):
        for answer in answers:
            if isinstance(answer, kind):
                return answer
    return None


def note_or_raise(answer: Answer) -> str | None:
    """What a check makes of its answer."""
    if isinstance(answer, Exception):
        raise answer
    return answer
