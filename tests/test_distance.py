"""Contenders run at the same time, and round trips are counted from a slope."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

from wirelab.distance import side_by_side, slope


def waiting(seconds: float) -> Callable[[], object]:
    return lambda: threading.Event().wait(seconds)


def test_contenders_wait_at_the_same_time() -> None:
    calls = {str(number): nullcontext(waiting(0.2)) for number in range(8)}
    started = time.perf_counter()
    times = side_by_side(calls, 2)
    assert time.perf_counter() - started < 8 * 0.2 * 2
    assert list(times) == list(calls)
    assert all(len(each) == 2 and each.min() >= 0.2 for each in times.values())


def test_a_warm_up_is_not_timed() -> None:
    log: list[float] = []

    def call() -> None:
        log.append(time.perf_counter())
        if len(log) <= 3:
            threading.Event().wait(0.3)

    [times] = side_by_side({"": nullcontext(call)}, 4, warm_up=3).values()
    assert len(log) == 7
    assert np.median(times) < 0.1


def test_what_a_contender_raises_is_raised_here_and_all_are_closed() -> None:
    closed = []

    @contextmanager
    def contender(call: Callable[[], object]) -> Iterator[Callable[[], object]]:
        try:
            yield call
        finally:
            closed.append(call)

    def fail() -> None:
        raise LookupError("no such thing")

    calls = {"good": contender(waiting(0.01)), "bad": contender(fail), "idle": contender(waiting(0.02))}
    with pytest.raises(LookupError, match="no such thing"):
        side_by_side(calls)
    assert len(closed) == 3
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("wirelab contender")]


def test_the_slope_counts_round_trips() -> None:
    distances = np.array([0.01, 0.03, 0.1])
    assert slope(distances, 3 * distances + 0.002) == pytest.approx((3, 0.002))
