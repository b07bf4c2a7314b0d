"""Carry packets between two TUN devices, each after a delay: ``truth_wire.py HANDLE HANDLE SECONDS``.

Ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import sys
import time
from collections import deque

PR_SET_TIMERSLACK = 29


def carry(here: int, there: int, delay: float) -> None:
    """Carry packets both ways."""
    other = {here: there, there: here}
    on_the_way: deque[tuple[float, int, bytes]] = deque()
    while True:
        wait = max(0.0, on_the_way[0][0] - time.perf_counter()) if on_the_way else None
        ready = select.select([0, here, there], [], [], wait)[0]
        if 0 in ready:
            return
        for handle in ready:
            with contextlib.suppress(BlockingIOError):
                while True:
                    packet = os.read(handle, 2048)
                    # One delay for all: the first to come is the first to arrive.
                    on_the_way.append((time.perf_counter() + delay, other[handle], packet))
        while on_the_way and on_the_way[0][0] <= time.perf_counter():
            _, handle, packet = on_the_way.popleft()
            os.write(handle, packet)


def main() -> None:
    """Carry, with timers as exact as the system has them."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    carry(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))


if __name__ == "__main__":
    main()
