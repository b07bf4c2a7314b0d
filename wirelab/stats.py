"""Percentiles and confidence intervals for measured times.

Times are seldom normally distributed: they have a floor and a long tail. Each interval here says which method
it uses, where the method comes from and when it holds; ``tests/test_stats.py`` counts how often each covers
the truth.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A value with its confidence interval, all in the unit of the samples."""

    value: float
    low: float
    high: float

    def covers(self, truth: float) -> bool:
        """Whether the interval holds `truth`."""
        return self.low <= truth <= self.high


def percentile(samples: ArrayLike, percent: float) -> float:
    """Return a percentile (0 to 100), interpolated linearly between the two nearest samples."""
    return float(np.percentile(_checked(samples), percent))


def percentile_interval(samples: ArrayLike, percent: float, confidence: float = 0.95) -> Estimate:
    """Estimate a percentile of the distribution that independent samples come from, whatever its shape.

    The limits lie between two neighbouring order statistics: how many samples fall below a percentile is
    binomial. Interpolated as in J. Nyblom, "Note on interpolated order statistics", Statistics & Probability
    Letters 14 (1992). A limit that so few samples cannot give is infinite: the upper one of a 95th percentile
    needs 72 samples.
    """
    ordered = np.sort(_checked(samples))
    tail = (1 - confidence) / 2
    below = _binomial_cdf(len(ordered), percent / 100)
    low, high = (_order_statistic(ordered, below, percent / 100, chance) for chance in (tail, 1 - tail))
    return Estimate(percentile(ordered, percent), low, high)


def replicate_interval(replicates: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Estimate a mean from replicates: means of small surveys, each complete and independent of the others.

    Student's t over the replicates. However cleverly one survey spreads its samples, the spread *between* surveys
    shows how far off one is; the spread *within* one does not. In use since Mahalanobis's interpenetrating samples
    (1946); for randomly shifted grids, R. Cranley and T. Patterson, SIAM J. Numer. Anal. 13 (1976). A. B. Owen,
    "Error estimation for quasi-Monte Carlo", arXiv:2501.00150, compares it with others.

    Raises:
        ValueError: there are fewer than two replicates.
    """
    means = _checked(replicates)
    if len(means) < 2:
        raise ValueError(f"An interval needs at least two replicates; got {len(means)}.")
    mean = float(means.mean())
    margin = student_t(confidence, len(means) - 1) * float(means.std(ddof=1)) / math.sqrt(len(means))
    return Estimate(mean, mean - margin, mean + margin)


@lru_cache
def student_t(confidence: float, freedom: float) -> float:
    """Return the two-sided critical value of Student's t distribution, such as 2.262 for 95 % and 9 degrees."""
    # With t = sqrt(freedom)·tan(angle) the density becomes a power of the cosine on a finite interval.
    angle = np.linspace(0, math.pi / 2, 200_001)
    density = np.cos(angle) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(freedom) * math.tan(float(np.interp(confidence * mass[-1], mass, angle)))


def _checked(samples: ArrayLike) -> Floats:
    data = np.asarray(samples, dtype=np.float64)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise ValueError(f"Expected one row of finite numbers; got {data.size} in {data.ndim} dimensions.")
    return data


def _binomial_cdf(trials: int, chance: float) -> Floats:
    """Return P(at most k of `trials` succeed) for k = -1, 0, …, `trials`."""
    k = np.arange(1, trials + 1)
    log_mass = np.cumsum(np.log((trials - k + 1) / k * chance / (1 - chance))) + trials * math.log1p(-chance)
    mass = np.exp(np.concatenate([[trials * math.log1p(-chance)], log_mass]))
    return np.concatenate([[0.0], np.cumsum(mass)])


def _order_statistic(ordered: Floats, below: Floats, share: float, chance: float) -> float:
    """Return the limit that exceeds the percentile with probability `chance`, between two order statistics.

    ``below[r]`` is the probability that the r-th smallest sample, counted from one, exceeds the percentile.
    """
    count = len(ordered)
    r = int(np.searchsorted(below[1 : count + 1], chance, side="right"))
    if r == 0 or r == count:
        return -math.inf if r == 0 else math.inf
    ahead, behind = float(below[r + 1] - chance), float(chance - below[r])
    weight = 1 / (1 + r * (1 - share) * ahead / ((count - r) * share * behind)) if behind else 0.0
    return float((1 - weight) * ordered[r - 1] + weight * ordered[r])
