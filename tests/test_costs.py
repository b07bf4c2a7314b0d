"""The costs of the ways to follow a feed are reckoned right, and decide as they should."""

from __future__ import annotations

import numpy as np
import pytest

from wirelab.costs import HEARTBEAT, HEARTBEAT_BYTES, PACKET, Costs, costs_of
from wirelab.measure import Record, Sighting

COSTS = Costs(question=300, carried=60, pushed={"SSE": 80, "WebSocket": 60})


def run(requests: int, updates: int, count: int) -> Record:
    """A run of so many requests and updates that took so many bytes."""
    return Record(
        clients=1,
        seconds=1.0,
        emitted=dict.fromkeys(range(updates), 0.0),
        sightings=[Sighting(seq, 0.0, 0.0) for seq in range(updates)],
        round_trips=np.zeros(requests),
        empty=0,
        delays=np.zeros(requests),
        skipped=0,
        sent=count // 2,
        received=count - count // 2,
        brought=updates,
        opening=0,
    )


def test_questions_and_updates_are_told_apart():
    polls = [
        run(requests, updates, 250 * requests + 55 * updates) for requests, updates in [(30, 6), (6, 6), (6, 30)]
    ]
    costs = costs_of(polls, {"WebSocket": run(0, 10, 620)})
    assert costs.question == pytest.approx(250)
    assert costs.carried == pytest.approx(55)
    assert costs.pushed == {"WebSocket": 62}


def test_bytes_of_a_second():
    found = COSTS.bytes_a_second(rate=2, age=0.5)
    assert found["polling"] == 300 + 3 * PACKET + 2 * 60
    assert found["WebSocket"] == pytest.approx(2 * (60 + 2 * PACKET) + HEARTBEAT_BYTES / HEARTBEAT)


@pytest.mark.parametrize(
    ("rate", "age", "winner"), [(1, 10, "polling"), (0.1, 0.5, "WebSocket"), (0.001, 3600, "polling")]
)
def test_cheapest(rate, age, winner):
    assert COSTS.cheapest(rate, age) == winner
