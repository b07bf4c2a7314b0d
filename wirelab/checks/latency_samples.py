"""Samples whose distribution a check knows, for a learner's `summarise`, and what came back for them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from wirelab.checks import CannotJudge, Failed, RemoteError
from wirelab.checks.evidence import FunctionSubject
from wirelab.checks.exchange import as_json, shown
from wirelab.checks.latency_server import is_number
from wirelab.stats import Floats

# Seconds after which a call is given up, and within which the quickest of some calls has to be back.
CALL_DEADLINE, QUICK = 8.0, 1.0
# How far the sample's own figures may be off: a share, for rounding.
TOLERANCE = 0.01
# Sets for the intervals: how many there are, and in how many of them the mean has to be.
SETS, FEWEST, MOST = 100, 86, 99
# Sets drawn for each one that is used.
CANDIDATES = 40
# Standard deviation of the logarithm of a set's durations above their floor: skewed, but not wildly (1.5 to 2).
SPREAD = 0.45, 0.55


@dataclass(frozen=True)
class Call:
    """One call of ``summarise``.

    Attributes:
        samples: what it was given; seconds.
        value: what it returned.
        error: what it raised instead.
        seconds: how long it took, the way to its process and back included; infinite if it was given up.
    """

    samples: Floats
    value: Any
    error: RemoteError | None
    seconds: float

    @property
    def told(self) -> str:
        """The call in words."""
        return f"Called summarise(samples) and sent it {len(self.samples):,} durations, drawn just now"

    def fail(self, expected: str, got: str = "") -> NoReturn:
        """Raise `Failed`; what was got is the whole result unless it is said."""
        raise Failed(f"{self.told}; got {got or self.got}; expected {expected}.")

    @property
    def got(self) -> str:
        """What became of the call, in words."""
        if self.error:
            return shown(str(self.error))
        return as_json(self.value) if math.isfinite(self.seconds) else f"no result in {CALL_DEADLINE:g} seconds"

    def figure(self, key: str) -> float:
        """One of its numbers.

        Raises:
            Failed: there is none.
        """
        figure = self.value.get(key) if isinstance(self.value, dict) else None
        if not is_number(figure):
            self.fail(f'a dict whose "{key}" is a number')
        assert isinstance(figure, int | float)
        return figure

    def interval(self) -> tuple[float, float]:
        """Its interval, the lower limit first.

        Raises:
            Failed: there is none.
        """
        limits = self.value.get("ci95") if isinstance(self.value, dict) else None
        if not (isinstance(limits, list) and len(limits) == 2 and all(map(is_number, limits))):
            self.fail('a dict whose "ci95" is (low, high), two numbers')
        low, high = limits
        if low > high:
            self.fail("the lower limit first", got=as_json(limits))
        return low, high


@dataclass(frozen=True)
class Sets:
    """Many sets of durations, all from distributions whose mean is known, and an interval for each.

    Attributes:
        means: the true mean of each set's distribution.
        calls: what was said of each.
    """

    means: Floats
    calls: list[Call]

    @property
    def sizes(self) -> str:
        """How many durations the sets have, in words."""
        return " or ".join(str(size) for size in sorted({len(call.samples) for call in self.calls}))

    def held(self) -> int:
        """In how many of the intervals the true mean is.

        Raises:
            Failed: a call gave no interval.
        """
        limits = [call.interval() for call in self.calls]
        return sum(low <= mean <= high for mean, (low, high) in zip(self.means, limits, strict=True))

    def width(self) -> float:
        """How far the limits are from the middle, in standard errors of the mean, at the median."""
        limits = np.array([call.interval() for call in self.calls])
        errors = [call.samples.std(ddof=1) / math.sqrt(len(call.samples)) for call in self.calls]
        return float(np.median((limits[:, 1] - limits[:, 0]) / 2 / errors))


class Desk(FunctionSubject):
    """Where samples are handed in and their summaries come back."""

    async def summarise(self, samples: Floats | Sequence[float]) -> Call:
        """Call the deliverable."""
        given = np.asarray(samples, dtype=np.float64)
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(CALL_DEADLINE):
                value, error = await self._target.call("summarise", given.tolist()), None
        except RemoteError as fault:
            value, error = None, fault
        except TimeoutError:
            return Call(given, None, None, math.inf)
        return Call(given, value, error, time.perf_counter() - begun)


def latencies(rng: np.random.Generator) -> Floats:
    """Draw a thousand durations and more as a service has them: most are quick, some wait for something.

    So the mean is far from the median, and what holds for a bell curve misses the 95th percentile.
    """
    size = int(rng.integers(1000, 2000))
    quick = rng.uniform(0.004, 0.01) + rng.uniform(0.005, 0.01) * rng.lognormal(0, 0.5, size)
    waited = rng.uniform(0.1, 0.2) + rng.uniform(0.02, 0.05) * rng.lognormal(0, 0.5, size)
    return np.where(rng.random(size) < rng.uniform(0.08, 0.12), waited, quick)


def many_sets(rng: np.random.Generator) -> list[tuple[float, Floats]]:
    """Draw `SETS` sets of 60 durations and more, each with the true mean of what it was drawn from.

    Of a hundred sets taken at random, a right interval may hold the mean 85 times, or 100 times. These stand for
    all: candidates of one size are put in order by how many standard errors their mean is off, and one is taken
    from around the middle of each fiftieth. So a right interval holds the mean 90 to 98 times, one of one standard
    error 64 to 71 times; ``tests/test_checks_latency.py`` counts.
    """
    drawn: list[tuple[float, Floats]] = []
    for size in (int(rng.integers(60, 81)), int(rng.integers(100, 151))):
        spread, floor, scale = rng.uniform(*SPREAD), rng.uniform(0.005, 0.02), rng.uniform(0.005, 0.02)
        mean = floor + scale * math.exp(spread**2 / 2)
        strata = SETS // 2
        candidates = floor + scale * rng.lognormal(0, spread, (strata * CANDIDATES, size))
        off = (candidates.mean(axis=1) - mean) / candidates.std(axis=1)
        ordered = np.argsort(off).reshape(strata, CANDIDATES)
        middle = rng.integers(CANDIDATES // 4, 3 * CANDIDATES // 4, strata)
        drawn += [(mean, candidates[row]) for row in ordered[np.arange(strata), middle]]
    return [drawn[place] for place in rng.permutation(SETS)]


async def large_samples(desk: Desk) -> list[Call]:
    """Two large samples."""
    rng = np.random.default_rng()
    return [await desk.summarise(latencies(rng)) for _ in range(2)]


async def intervals(desk: Desk) -> Sets:
    """An interval for each of many sets.

    Raises:
        CannotJudge: a call takes too long for that.
    """
    slow = min(call.seconds for call in await desk.evidence(large_samples))
    if slow >= QUICK:
        raise CannotJudge(f"this needs {SETS} calls of summarise, and one takes {slow:.1f} s.")
    drawn = many_sets(np.random.default_rng())
    calls = [await desk.summarise(samples) for _, samples in drawn]
    return Sets(np.array([mean for mean, _ in drawn]), calls)
