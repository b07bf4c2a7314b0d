"""What the figures of latency reckon themselves."""

from __future__ import annotations

import numpy as np
import pytest

from wirelab.latency_figures import slopes


def test_round_trips_are_counted_from_the_quickest_tries() -> None:
    distances = (0.01, 0.06, 0.15)
    taken = {
        distance: {
            "quiet": np.array([2 * distance, 2 * distance + 0.001]),
            "stalled": np.array([distance + 0.5, distance + 0.003, distance + 0.2]),
        }
        for distance in distances
    }
    assert slopes(taken) == pytest.approx({"quiet": 2, "stalled": 1})
