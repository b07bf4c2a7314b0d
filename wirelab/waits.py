"""How long other people's requests wait while a server is busy with somebody's work."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np

from .clients import bare_http
from .stats import Floats

# Seconds from one request to the next.
EVERY = 0.01


def waits_while(url: str, work: Callable[[], object], *, every: float = EVERY) -> tuple[Floats, Floats]:
    """Ask for `url` on a beat as long as some work goes on, and return when each was due and how long it waited.

    Waits count from when a request was due, not from when it left: one that had to stand aside for an answer that
    was late has waited too.

    Args:
        url: what to get, over HTTP.
        work: runs in a thread of its own.
        every: seconds from one request to the next.

    Returns:
        Two rows: seconds from the beginning of the work to when a request was due, and seconds from then to its
        answer.

    Raises:
        Exception: what the work raised.
    """
    noted: list[tuple[float, float]] = []
    ended: list[float] = []

    def until_it_ends() -> None:
        try:
            work()
        finally:
            ended.append(time.perf_counter())

    with bare_http(url) as get, ThreadPoolExecutor(1, "wirelab work") as pool:
        get()
        start = time.perf_counter()
        working = pool.submit(until_it_ends)
        for beat in count():
            due = start + beat * every
            time.sleep(max(0.0, due - time.perf_counter()))
            # Not when all have been answered: where an answer takes longer than a beat, that would never be.
            if ended and due > ended[0]:
                break
            get()
            noted.append((due - start, time.perf_counter() - due))
        working.result()
    due_at, waited = np.array(noted).T
    return due_at, waited
