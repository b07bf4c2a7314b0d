"""Updates are placed as the schedules promise, and a survey of the phase is as good as it says."""

from __future__ import annotations

import numpy as np
import pytest

from wirelab.schedules import MARGIN, Surveys, at_random, in_step, over_the_phase
from wirelab.stats import Estimate, Floats, replicate_interval


def ages_for_a_poller(updates: Floats, every: float, way: float, back: float, rng: np.random.Generator) -> Floats:
    """What a poller sees whose question takes `way` seconds (± 0.2 ms), and whose answer takes `back`."""
    polls = np.arange(int(updates.max() / every) + 2) * every
    arrivals = polls + way + np.abs(rng.normal(0, 0.0002, len(polls)))
    return arrivals[np.searchsorted(arrivals, updates)] + back - updates


def survey_means(plan: Surveys, ages: Floats) -> Floats:
    return np.array([ages[plan.survey == number].mean() for number in range(plan.survey.max() + 1)])


@pytest.mark.parametrize("every", [0.05, 0.25, 1.0])
@pytest.mark.parametrize("way", [0.0003, 0.0013, 0.004])
def test_the_surveys_find_the_mean_age_and_know_how_well(every: float, way: float) -> None:
    rng = np.random.default_rng(11)
    truth, back = every / 2 + 0.0006, 0.0006
    estimates: list[Estimate] = []
    for run in range(400):
        plan = over_the_phase(every, seed=run)
        estimates.append(
            replicate_interval(survey_means(plan, ages_for_a_poller(plan.offsets, every, way, back, rng)))
        )
    assert max(abs(estimate.value / truth - 1) for estimate in estimates) < 0.03
    assert 0.93 <= np.mean([estimate.covers(truth) for estimate in estimates]) <= 0.97


def test_one_grid_with_a_draw_in_each_cell_has_no_honest_interval() -> None:
    rng = np.random.default_rng(12)
    every, back = 0.25, 0.0006
    covered = 0
    for _ in range(400):
        updates = ((np.arange(3)[:, None] + (np.arange(16) + rng.random((3, 16))) / 16) * every).ravel()
        ages = ages_for_a_poller(updates, every, 0.0013, back, rng)
        covered += replicate_interval(ages.reshape(3, 16).mean(axis=1)).covers(every / 2 + back)
    assert covered / 400 < 0.9


@pytest.mark.parametrize("every", [0.05, 0.25, 0.5, 1.0])
def test_a_survey_fits_in_its_time_and_spreads_each_grid_evenly(every: float) -> None:
    plan = over_the_phase(every, seconds=2.0, seed=3)
    assert plan.seconds <= 2.0
    assert plan.seconds / every == pytest.approx(round(plan.seconds / every))
    assert (np.diff(plan.offsets) >= 0).all()
    assert MARGIN * every <= plan.offsets[0]
    assert plan.offsets[-1] <= plan.seconds - (1 - MARGIN) * every
    for number in range(10):
        phases = np.sort(plan.offsets[plan.survey == number] / every % 1)
        assert np.diff(phases) == pytest.approx(1 / len(phases))


def test_a_slow_poller_gets_two_intervals_however_long_they_are() -> None:
    assert over_the_phase(3.0, seconds=2.0).seconds == 6.0


def test_surveys_are_shifted_independently() -> None:
    plan = over_the_phase(1.0, seed=4)
    shifts = [np.min(plan.offsets[plan.survey == number] % (1 / 32)) for number in range(10)]
    assert len(np.unique(np.round(shifts, 6))) == 10


def test_random_updates_come_at_their_rate_and_without_memory() -> None:
    plan = at_random(50.0, 100.0, seed=5)
    pauses = np.diff(plan.offsets)
    assert len(plan.offsets) == pytest.approx(5000, rel=0.05)
    assert pauses.std() == pytest.approx(pauses.mean(), rel=0.05)
    assert 0 <= plan.offsets[0] < plan.offsets[-1] <= 100


def test_updates_in_step_have_one_phase() -> None:
    plan = in_step(0.5, 4, phase=0.25)
    assert plan.offsets.tolist() == [0.125, 0.625, 1.125, 1.625]
    assert plan.seconds == 2.0


def test_a_seed_makes_the_same_schedule_again() -> None:
    for make in (lambda seed: at_random(10, 5, seed=seed), lambda seed: over_the_phase(0.5, seed=seed)):
        assert (make(1).offsets == make(1).offsets).all()
        assert len(make(1).offsets) != len(make(2).offsets) or (make(1).offsets != make(2).offsets).any()
