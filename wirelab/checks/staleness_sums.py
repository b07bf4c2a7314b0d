"""What `staleness` makes of updates whose ages are known."""

from __future__ import annotations

import asyncio
import math
import secrets
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wirelab.checks import CannotJudge, Failed, NotAttempted, RemoteError
from wirelab.checks.evidence import FunctionSubject
from wirelab.checks.exchange import shown
from wirelab.checks.staleness_runs import brief

# Seconds for one call, on a machine that may be busy.
DEADLINE = 8.0
# How far a number may be off: a share of it.
CLOSE = 0.01
# NumPy's names for the definitions of a percentile.
DEFINITIONS = (
    *("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf"),
    *("hazen", "weibull", "linear", "median_unbiased", "normal_unbiased"),
    *("lower", "higher", "midpoint", "nearest"),
)
MEMBERS = ("mean", "p95", "missed", "missed_share")

_random = secrets.SystemRandom()

Pair = tuple[int, float]


@dataclass(frozen=True)
class Case:
    """Updates that were emitted, and those of them that were seen.

    Attributes:
        emitted: each ``(seq, emitted_at)``.
        seen: each ``(seq, seen_at)``.
        ages: of those that were seen and emitted, in ascending order.
    """

    emitted: list[Pair]
    seen: list[Pair]
    ages: list[float]

    @property
    def missed(self) -> int:
        """How many were emitted and not seen."""
        return len(self.emitted) - len(self.ages)

    @property
    def share(self) -> float:
        """The same, as a fraction."""
        return self.missed / len(self.emitted)

    @property
    def sent(self) -> str:
        """The case in words."""
        strangers = len(self.seen) - len(self.ages)
        extra = f", and {strangers} that were not emitted" if strangers else ""
        return f"{len(self.emitted)} updates, {len(self.ages)} of them seen{extra}"


def case(seen: int, missed: int, strangers: int = 0) -> Case:
    """Draw updates at random: many young ones, a few old ones, misses anywhere among them.

    Args:
        seen: how many were seen.
        missed: how many were not.
        strangers: how many were seen that are from before, or after.
    """
    count, now, first = seen + missed, _random.uniform(1_000, 90_000), _random.randrange(1_000, 90_000)
    emitted = []
    for seq in range(first, first + count):
        now += _random.uniform(0.05, 0.5)
        emitted.append((seq, now))
    ages = {seq: _random.lognormvariate(-2.5, 0.9) for seq, _ in _random.sample(emitted, seen)}
    sightings = [(seq, at + ages[seq]) for seq, at in emitted if seq in ages]
    before = [(first - 1 - number, emitted[0][1] + 0.01 * number) for number in range((strangers + 1) // 2)]
    after = [(first + count + number, now + 1 + number) for number in range(strangers // 2)]
    return Case(emitted, [*before, *sightings, *after], sorted(ages.values()))


class Sums(FunctionSubject):
    """The function, and what it made of each case."""

    async def of(self, case: Case) -> Any:
        """Call it.

        Raises:
            Failed: it raised, or hangs.
        """
        try:
            async with asyncio.timeout(DEADLINE):
                return await self._target.call("staleness", case.seen, case.emitted)
        except TimeoutError:
            fault = f"no answer within {DEADLINE:g} seconds"
        except RemoteError as error:
            if error.names[0] == "NotImplementedError":
                raise NotAttempted("staleness() still raises NotImplementedError.") from None
            fault = f"an exception, {shown(str(error))}"
        raise Failed(f"{_called(case)}; got {fault}; expected a dict with {', '.join(MEMBERS)}.")

    async def member(self, case: Case, name: str) -> Any:
        """One member of what it made of a case.

        Raises:
            Failed: there is none.
        """
        made = await self.of(case)
        if not isinstance(made, dict) or name not in made:
            raise Failed(f"{_called(case)}; got {brief(made)}; expected a dict with {', '.join(MEMBERS)}.")
        return made[name]


def told(value: Any) -> str:
    """A value as a message shows it, with as many decimals as anybody reads."""
    match value:
        case float():
            return f"{value:.4f}"
        case dict():
            return "{" + ", ".join(f"{key}: {told(one)}" for key, one in list(value.items())[:8]) + "}"
    return brief(value)


def _called(case: Case) -> str:
    return f"Called staleness(seen, emitted) and sent it {case.sent}"


async def untouched(sums: Sums) -> None:
    """Calling it gives NotImplementedError."""
    await sums.of(case(seen=20, missed=4))


async def ordinary(sums: Sums) -> list[Case]:
    """Cases in which some updates were seen and some missed."""
    return [case(seen=60, missed=20), case(seen=97, missed=5), case(seen=41, missed=83)]


async def mean(sums: Sums) -> None:
    """The mean."""
    for one in await sums.evidence(ordinary):
        got, expected = await sums.member(one, "mean"), statistics.mean(one.ages)
        if not _close(got, expected, expected):
            hint = ""
            if _close(got, 1000 * expected, 1000 * expected):
                hint = " (in seconds, not milliseconds)"
            elif _close(got, expected * len(one.ages) / len(one.emitted), expected):
                hint = " over those that were seen, not over all"
            raise Failed(
                f"{_called(one)}; got mean {told(got)}; expected {expected:.4f}{hint}: the mean of seen_at - "
                "emitted_at for the same seq."
            )


async def p95(sums: Sums) -> None:
    """The 95th percentile."""
    for one in await sums.evidence(ordinary):
        got, (low, high) = await sums.member(one, "p95"), percentiles(one.ages)
        if not _close(got, low, high):
            raise Failed(
                f"{_called(one)}; got p95 {told(got)}; expected {low:.4f} to {high:.4f}, by whichever "
                f"definition: 95 of 100 ages are below it (the greatest is {one.ages[-1]:.4f})."
            )


def percentiles(ages: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest 95th percentile that is called by that name."""
    found = [float(np.percentile(ages, 95, method=name)) for name in DEFINITIONS]  # type: ignore[call-overload]
    ranked = sorted(ages)
    found += [ranked[int(0.95 * len(ages))], ranked[math.ceil(0.95 * len(ages)) - 1]]
    return min(found), max(found)


async def missed(sums: Sums) -> None:
    """The number of misses."""
    for one in await sums.evidence(ordinary):
        got = await sums.member(one, "missed")
        if isinstance(got, bool) or got != one.missed:
            raise Failed(
                f"{_called(one)}; got missed {told(got)}; expected {one.missed}, the number of those that were "
                "not seen."
            )


async def share(sums: Sums) -> None:
    """The share of misses."""
    for one in await sums.evidence(ordinary):
        got = await sums.member(one, "missed_share")
        if not _close(got, one.share, one.share):
            hint = ""
            if _close(got, 100 * one.share, 100 * one.share):
                hint = ": a fraction, not per cent"
            elif _close(got, one.missed / len(one.ages), one.missed / len(one.ages)):
                hint = ": of all that were emitted, not of those that were seen"
            raise Failed(f"{_called(one)}; got missed_share {told(got)}; expected {one.share:.4f}{hint}.")


async def none_seen(sums: Sums) -> Case:
    """A case in which everything was missed."""
    return case(seen=0, missed=30)


async def none(sums: Sums) -> None:
    """Nothing was seen."""
    await _says_none(sums, await sums.evidence(none_seen))


async def _says_none(sums: Sums, one: Case) -> None:
    for name in ("mean", "p95"):
        got = await sums.member(one, name)
        if got is not None:
            raise Failed(
                f"{_called(one)}; got {name} {told(got)}; expected None: of nothing there is no mean and no "
                "percentile, and 0 would look like the best of all feeds."
            )
    got = await sums.member(one, "missed_share")
    # Per cent cost the check of shares, and no other.
    if not _close(got, 1.0, 1.0) and not (got == 100 and await sums.evidence(in_per_cent)):
        raise Failed(f"{_called(one)}; got missed_share {told(got)}; expected 1.0: all of it was missed.")


async def in_per_cent(sums: Sums) -> bool:
    """Whether it gives shares in per cent."""
    one = (await sums.evidence(ordinary))[0]
    return _close(await sums.member(one, "missed_share"), 100 * one.share, 100 * one.share)


async def unknown(sums: Sums) -> str | None:
    """Updates that were seen and not emitted."""
    one, known = case(seen=40, missed=20, strangers=5), ""
    plain = Case(one.emitted, [pair for pair in one.seen if pair[0] in dict(one.emitted)], one.ages)
    try:
        expected = await sums.of(plain)
    except Failed as fault:
        known = str(fault)
    if known or not isinstance(expected, dict):
        raise CannotJudge(f"this needs a function that returns a dict. {known}".strip())
    got = await sums.of(one)
    if not isinstance(got, dict) or any(not _same(got.get(name), expected.get(name)) for name in MEMBERS):
        raise Failed(
            f"{_called(one)}; got {told(got)}; expected {told(expected)}, as without these: what was not "
            "emitted was not seen either."
        )
    try:
        await none(sums)
    except Failed:
        return "(Whether it notes that there are none left but these was not looked at.)"
    await _says_none(sums, case(seen=0, missed=12, strangers=3))
    return None


def _close(got: Any, low: float, high: float) -> bool:
    """Whether it is a number from `low` to `high`, or nearly so."""
    if isinstance(got, bool) or not isinstance(got, int | float):
        return False
    return low * (1 - CLOSE) <= got <= high * (1 + CLOSE)


def _same(got: Any, expected: Any) -> bool:
    if isinstance(expected, int | float):
        return _close(got, expected, expected)
    return bool(got == expected)
