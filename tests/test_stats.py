"""The intervals cover the truth as often as they say: counted over seeded synthetic samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from wirelab.stats import (
    Estimate,
    Floats,
    percentile,
    percentile_interval,
    replicate_interval,
    student_t,
)

Draw = Callable[[np.random.Generator, int], Floats]

# Times look like these: a bell, a floor with a tail, a floor with a long tail. Each with its median and p95.
SHAPES: dict[str, tuple[Draw, float, float]] = {
    "normal": (lambda rng, n: rng.normal(5, 1, n), 5.0, 6.6449),
    "exponential": (lambda rng, n: rng.exponential(1, n), math.log(2), math.log(20)),
    "lognormal": (lambda rng, n: rng.lognormal(0, 0.6, n), 1.0, math.exp(0.6 * 1.6449)),
}


def coverage(runs: int, truth: float, estimate: Callable[[int], Estimate]) -> float:
    return sum(estimate(run).covers(truth) for run in range(runs)) / runs


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("percent", [50, 95])
def test_the_interval_of_a_percentile_covers_it_95_times_in_100(shape: str, percent: int) -> None:
    draw, median, p95 = SHAPES[shape]
    rng = np.random.default_rng(2)
    truth = median if percent == 50 else p95
    assert 0.93 <= coverage(1000, truth, lambda run: percentile_interval(draw(rng, 200), percent)) <= 0.97


def test_a_percentile_of_few_samples_is_missed_as_often_below_as_above() -> None:
    rng = np.random.default_rng(7)
    runs = [percentile_interval(rng.exponential(1, 20), 20) for _ in range(4000)]
    truth = math.log(1 / 0.8)
    assert 0.015 < np.mean([run.low > truth for run in runs]) < 0.035
    assert 0.015 < np.mean([run.high < truth for run in runs]) < 0.035


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_interval_over_replicates_covers_the_mean_95_times_in_100(count: int) -> None:
    rng = np.random.default_rng(4)
    assert 0.93 <= coverage(1500, 7.0, lambda run: replicate_interval(rng.normal(7, 2, count))) <= 0.97


def test_less_confidence_makes_a_narrower_interval() -> None:
    samples = np.random.default_rng(5).exponential(1, 300)
    for interval in (replicate_interval, lambda s, c: percentile_interval(s, 50, c)):
        wide, narrow = interval(samples, 0.99), interval(samples, 0.5)
        assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


# From any table of Student's distribution.
@pytest.mark.parametrize(
    ("confidence", "freedom", "value"),
    [(0.95, 1, 12.7062), (0.95, 2, 4.3027), (0.95, 9, 2.2622), (0.99, 4, 4.6041), (0.9, 30, 1.6973)],
)
def test_critical_values_are_those_of_the_table(confidence: float, freedom: int, value: float) -> None:
    assert student_t(confidence, freedom) == pytest.approx(value, abs=1e-4)


def test_a_percentile_lies_between_the_two_nearest_samples() -> None:
    assert percentile([1, 2, 3, 4], 50) == 2.5
    assert percentile([5, 1, 3], 100) == 5


def test_a_limit_that_the_samples_cannot_give_is_infinite() -> None:
    few, enough = np.arange(71.0), np.arange(72.0)
    assert percentile_interval(few, 95).high == math.inf
    assert percentile_interval(enough, 95).high <= 71
    assert percentile_interval([1, 2], 50)[1:] == (-math.inf, math.inf)


def test_equal_samples_have_an_interval_without_width() -> None:
    assert replicate_interval([2.0, 2.0, 2.0]) == (2.0, 2.0, 2.0)
    assert percentile_interval([2.0] * 100, 50) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]]])
def test_what_is_no_row_of_numbers_is_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="one row of finite numbers"):
        replicate_interval(samples)


def test_one_sample_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two"):
        replicate_interval([1.0])
