"""How many submissions are graded at a time: as many as the processor has time for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]

# Seconds from one that begins until the processor is looked at for the next: its own share shows by then.
LOOK = 0.5
# The share of the processor's time, over all cores, from which on nobody is let in.
BUSY = 0.5


class Admission:
    """Lets submissions begin; used in a ``with`` by the thread that grades one.

    Checks of some labs compute all the time, those of most wait: with one number for all, either the first could
    not measure well or the others would take hours.

    Args:
        sure: how many may begin at once, however busy the processor is.
        load: the share of the processor's time that was used since it was last called, from 0 to 1.
    """

    def __init__(self, sure: int, load: Callable[[], float] | None = None) -> None:
        self._sure = sure
        self._load = load or Load()
        self._running = 0
        self._change = threading.Condition()
        self._next_look = 0.0

    def __enter__(self) -> None:
        """Wait until it may begin."""
        with self._change:
            while self._running >= self._sure and not self._has_room():
                self._change.wait(LOOK)
            self._running += 1
            self._next_look = time.monotonic() + LOOK
            # What was before it says nothing.
            self._load()

    def __exit__(self, *_: object) -> None:
        """Let the next one begin."""
        with self._change:
            self._running -= 1
            self._change.notify()

    def _has_room(self) -> bool:
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK
        return self._load() < BUSY


class Load:
    """The share of the processor's time, over all cores, that was used since the last call, from 0 to 1.

    `psutil.cpu_percent` would count for each thread by itself, and any thread may be the next to look.
    """

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def __call__(self) -> float:
        """Look."""
        now = psutil.cpu_times()
        total = sum(now) - sum(self._before)
        idle = now.idle - self._before.idle
        self._before = now
        return 1 - idle / total if total > 0 else 1.0
