"""What a number of clients takes follows from what was measured and assumed, and the error bars with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from wirelab.capacity import Assumptions, Measured, borders, plan, reaches
from wirelab.draining import Move, move
from wirelab.stats import Estimate


def sure(value: float) -> Estimate:
    return Estimate(value, value, value)


MEASURED = Measured(memory=sure(10_000), opening=sure(0.001), ping=sure(0.0001), message=sure(0.00001))
SURE = Assumptions(doubt=1, kernel=10_000, messages=1, ping_every=20, stays=100, busy=0.5)


def test_each_need_is_a_product() -> None:
    reckoned = plan(1e6, MEASURED, SURE)
    assert reckoned.memory.value == pytest.approx(20e9)
    # 10 µs for a message, 5 for a share of a ping, 10 for one of an opening; half of a core is planned for.
    assert reckoned.cores.value == pytest.approx(50)
    # 6.25 machines by processor, 2.5 by memory, 2 by handles.
    assert reckoned.machines.value == pytest.approx(6.25)
    assert reckoned.rounded(SURE).value == 8
    # 20,000 posts a second, each to 50 workers.
    assert reckoned.brokers.value == pytest.approx(20)
    assert reckoned.reopening.value == pytest.approx(1e6 * 0.001 / 50)


@pytest.mark.parametrize(
    ("change", "machines"),
    [
        ({"machine_memory": 1e9}, 40.0),
        ({"machine_handles": 10_000.0}, 200.0),
        ({"machine_network": 1e6}, 400.0),
    ],
)
def test_whatever_is_scarcest_decides(change: dict[str, float], machines: float) -> None:
    assert plan(1e6, MEASURED, replace(SURE, **change)).machines.value == pytest.approx(machines)


def test_doubt_and_measurement_both_widen_the_bars() -> None:
    unsure = MEASURED._replace(memory=Estimate(10_000, 5_000, 20_000))
    memory = plan(1000, unsure, replace(SURE, doubt=2)).memory
    assert memory == pytest.approx((20e6, 15e6 / 2, 30e6 * 2))


def test_the_more_machines_there_may_be_the_sooner_all_are_back() -> None:
    unsure = MEASURED._replace(opening=Estimate(0.001, 0.0005, 0.002), message=Estimate(1e-5, 1e-6, 1e-4))
    reckoned = plan(1e6, unsure, SURE)
    back, machines = reckoned.reopening, reckoned.machines
    assert back.low < back.value < back.high
    assert back.low == pytest.approx(1e6 * 0.0005 / (8 * machines.high))
    assert back.high == pytest.approx(1e6 * 0.002 / (8 * machines.low))


def test_borders_are_where_the_plan_reaches_them() -> None:
    assumed = replace(SURE, doubt=2)
    for need, start in zip(("cores", "machines", "brokers"), borders(MEASURED, assumed).values(), strict=True):
        assert start.low < start.value < start.high
        assert getattr(plan(start.value, MEASURED, assumed), need).value == pytest.approx(1, rel=0.01)
        # With the most that each client may need, it is reached the earliest.
        assert getattr(plan(start.low, MEASURED, assumed), need).high == pytest.approx(1, rel=0.01)


def test_a_limit_that_is_never_reached_ends_the_search() -> None:
    assert reaches(MEASURED, SURE, lambda p: sure(0.0)).value == pytest.approx(1e12, rel=0.01)


def test_clients_who_are_away_are_counted() -> None:
    one = Move(
        gone=np.array([1.0, 2.0, 5.0]), back=np.array([3.0, 4.0, 6.0]), asked=np.array([]), waited=np.array([])
    )
    assert list(one.away_at(np.array([0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]))) == [0, 1, 2, 1, 0, 1, 0]
    assert one.most_away == 2


def test_everybody_moves_and_fewer_are_away_when_it_is_one_after_another() -> None:
    at_once = asyncio.run(move(40, every=0))
    drained = asyncio.run(move(40, every=0.01))
    for one in (at_once, drained):
        assert len(one.gone) == len(one.back) == 40
        assert (one.back >= one.gone).all()
        assert len(one.asked) == len(one.waited) > 0
    assert drained.most_away < at_once.most_away
