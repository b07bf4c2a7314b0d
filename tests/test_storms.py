"""A crowd that comes back is reckoned by the rules that the page states, and real clients keep to them."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

from wirelab.storms import Outage, Storm, come_back, simulate

ALONE = Outage(clients=1, down=5, rate=10, patience=3, trip=0.1, watched=60)
CROWD = Outage(clients=1000, down=5, rate=100, patience=3, trip=0.1, watched=120)


def doubling(failures: int) -> float:
    return min(20.0, 2.0 ** (failures - 1))


def test_one_client_is_refused_until_the_server_is_back():
    storm = simulate(ALONE, lambda failures: 2)
    # Each refusal takes a round trip. The third attempt is let in: half a trip, its turn, half a trip.
    assert storm.attempts == pytest.approx([2, 4.1, 6.2])
    assert storm.back == pytest.approx([6.2 + 0.05 + 0.1 + 0.05])


def test_the_server_opens_one_after_another():
    crowd = Outage(clients=20, down=0, rate=10, patience=10, trip=0, watched=60)
    storm = simulate(crowd, lambda failures: 1)
    assert storm.back == pytest.approx(1 + np.arange(1, 21) / 10)


def test_who_gives_up_has_taken_its_turn():
    crowd = Outage(clients=20, down=0, rate=10, patience=1.05, trip=0, watched=60)
    storm = simulate(crowd, lambda failures: 1)
    # Ten get in. The others come again at 3.05, when the turns of their first attempts are over, and all get in.
    assert storm.back_by(2.1) == storm.back_by(3.05) == 10
    assert storm.attempts == pytest.approx([1.0] * 20 + [3.05] * 10)
    assert len(storm.back) == 20


def test_a_thousand_clients():
    random.seed(1)
    fixed, exponential = simulate(CROWD, lambda failures: 1), simulate(CROWD, doubling)
    jitter = simulate(CROWD, lambda failures: random.uniform(0, doubling(failures)))
    assert len(fixed.back) < 333
    assert len(exponential.back) == len(jitter.back) == 1000
    assert exponential.busiest(after=5) == 1000
    assert jitter.busiest(after=5) < 500
    assert jitter.back.max() < exponential.back.max() / 2


def test_nobody_looks_after_the_watch():
    storm = simulate(Outage(clients=5, down=100, rate=10, patience=3, trip=0.1, watched=10), doubling)
    assert storm.attempts.max() < 10
    assert storm.back_by(10) == len(storm.back) == 0


def test_busiest_counts_in_seconds_from_a_moment():
    storm = Storm(np.array([0.0, 0.1, 0.2, 3.4, 4.1, 4.3]), np.array([]))
    assert storm.busiest() == 3
    assert storm.busiest(after=3.0) == 2
    assert storm.busiest(after=3.4, second=1.0) == 3


def test_real_clients_come_back_and_leave_nothing_behind():
    few = Outage(clients=5, down=0.1, rate=50, patience=2, trip=0, watched=5)

    async def trial() -> tuple[Storm, int]:
        storm = await come_back(few, lambda failures: 0.05)
        return storm, len(asyncio.all_tasks())

    storm, tasks = asyncio.run(trial())
    assert len(storm.back) == 5
    assert storm.back.min() >= 0.1
    # Four whole turns lie between the first and the last.
    assert np.ptp(storm.back) > 4 / 50 * 0.8
    assert len(storm.attempts) > 5
    assert tasks == 1


def test_real_clients_that_never_get_in_are_given_up():
    few = Outage(clients=3, down=0.1, rate=1, patience=0.1, trip=0, watched=0.5)
    storm = asyncio.run(come_back(few, lambda failures: 0.05))
    assert len(storm.back) == 0
