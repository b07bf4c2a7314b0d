"""The mean age of polling: how near the closed form, and how often its interval holds it.

Targets: within 3 % of T/2 + RTT/2 from at most 2 s of measuring; the 95 % interval covers 93 to 97 of 100.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from wirelab import serve
from wirelab.measure import age_of_polling
from wirelab.schedules import over_the_phase
from wirelab.stats import Estimate, Floats, replicate_interval

pytestmark = pytest.mark.benchmark

RUNS = 100


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("every", "seconds"), [(0.25, 1.0), (0.5, 2.0), (1.0, 2.0)])
def test_real_runs_find_the_closed_form(every: float, seconds: float) -> None:
    with serve("wirelab.apps.feed:app", process=True) as server:
        ages = [age_of_polling(server.http, every, seconds=seconds) for _ in range(RUNS)]
    errors = np.array([age.mean.value / age.expected - 1 for age in ages])
    widths = np.array([(age.mean.high - age.mean.low) / 2 / age.expected for age in ages])
    covered = sum(age.mean.covers(age.expected) for age in ages)
    print(
        f"\nT = {every} s, {seconds} s of measuring, {RUNS} runs: bias {errors.mean():+.2%}, "
        f"standard deviation {errors.std():.2%}, largest error {abs(errors).max():.2%}, "
        f"interval ± {widths.mean():.2%}, covers {covered} of {RUNS}"
    )
    assert (abs(errors) < 0.03).all()
    # Three standard deviations of a count of 100 around 95 %; the simulation below is the sharp test.
    assert covered >= 88


def grid_with_draws(every: float, rng: np.random.Generator) -> Floats:
    """Three intervals of sixteen cells, a random draw in each."""
    return ((np.arange(3)[:, None] + (np.arange(16) + rng.random((3, 16))) / 16) * every).ravel()


def seen(updates: Floats, every: float, way: float, rng: np.random.Generator) -> Floats:
    """Ages for a poller whose question takes `way` seconds, give or take 0.2 ms, and whose answer takes none."""
    arrivals = np.arange(int(updates.max() / every) + 2) * every + way
    arrivals += np.abs(rng.normal(0, 0.0002, len(arrivals)))
    return arrivals[np.searchsorted(arrivals, updates)] - updates


def over_surveys(every: float, way: float, rng: np.random.Generator) -> Estimate:
    plan = over_the_phase(every, seconds=1.0, seed=int(rng.integers(2**32)))
    ages = seen(plan.offsets, every, way, rng)
    return replicate_interval([ages[plan.survey == number].mean() for number in range(10)])


def over_intervals(every: float, way: float, rng: np.random.Generator) -> Estimate:
    return replicate_interval(seen(grid_with_draws(every, rng), every, way, rng).reshape(3, 16).mean(axis=1))


def over_updates(every: float, way: float, rng: np.random.Generator) -> Estimate:
    return replicate_interval(seen(grid_with_draws(every, rng), every, way, rng))


def at_random(every: float, way: float, rng: np.random.Generator) -> Estimate:
    return replicate_interval(seen(np.sort(rng.uniform(0, 3 * every, 48)), every, way, rng))


def in_step(every: float, way: float, rng: np.random.Generator) -> Estimate:
    return replicate_interval(seen((np.arange(48) + rng.random()) * every, every, way, rng))


def test_the_ways_to_an_interval_compared_by_simulation() -> None:
    ways: dict[str, Callable[[float, float, np.random.Generator], Estimate]] = {
        "ten surveys, t over the surveys": over_surveys,
        "one grid, t over the intervals": over_intervals,
        "one grid, t over the updates": over_updates,
        "random updates, t over the updates": at_random,
        "in step, t over the updates": in_step,
    }
    rng = np.random.default_rng(1)
    for name, estimate in ways.items():
        print(f"\n{name:<36}", end="")
        for way in (0.0003, 0.0013, 0.004):
            runs = [estimate(0.25, way, rng) for _ in range(2000)]
            spread = np.std([run.value for run in runs]) / 0.125
            covered = float(np.mean([run.covers(0.125) for run in runs]))
            print(f"  way {way * 1e3:.1f} ms: sd {spread:6.2%}, covers {covered:6.1%}", end="")
            if estimate is over_surveys:
                assert 0.93 <= covered <= 0.97
    print()
