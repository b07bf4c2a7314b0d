"""What distance does to an exchange: several contenders measured at once, and round trips counted from a slope."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import ArrayLike

from .measure import Call
from .stats import Floats

# Seconds until every contender has to be ready to start.
DEADLINE = 60.0


def side_by_side(
    contenders: Mapping[str, AbstractContextManager[Call]], count: int = 5, *, warm_up: int = 1
) -> dict[str, Floats]:
    """Time several calls at the same time, in seconds: each contender makes its own in a thread of its own.

    Nearly all of the time has to be spent waiting, as for a network with a delay; then they do not disturb each
    other, and the whole takes as long as the slowest of them. On loopback take `wirelab.measure.interleaved`.

    Args:
        contenders: what to open, and closed again when all are done.
        count: calls that are timed.
        warm_up: calls before that; all begin to time at once when everybody has made theirs.

    Raises:
        Exception: whatever a call raised first; the others end theirs.
    """
    line = threading.Barrier(len(contenders))

    def run(contender: AbstractContextManager[Call]) -> Floats:
        try:
            with contender as call:
                for _ in range(warm_up):
                    call()
                line.wait(DEADLINE)
                return np.array([seconds(call) for _ in range(count)])
        except BaseException:
            line.abort()
            raise

    with ThreadPoolExecutor(len(contenders), "wirelab contender") as pool:
        runs = {name: pool.submit(run, contender) for name, contender in contenders.items()}
    failures = [failure for one in runs.values() if (failure := one.exception())]
    for failure in failures:
        # That the others were not there any more is no news.
        if not isinstance(failure, threading.BrokenBarrierError):
            raise failure
    return {name: one.result() for name, one in runs.items()}


def seconds(call: Call) -> float:
    """Return how long one call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def slope(round_trips: ArrayLike, times: ArrayLike) -> tuple[float, float]:
    """Fit a straight line to what an exchange takes at several distances.

    Args:
        round_trips: seconds that one round trip takes, a row of at least two distances.
        times: seconds that the exchange took at each of them.

    Returns:
        How many round trips the exchange waits for, and the seconds that it takes at no distance.
    """
    count, rest = np.polyfit(np.asarray(round_trips), np.asarray(times), 1)
    return float(count), float(rest)
