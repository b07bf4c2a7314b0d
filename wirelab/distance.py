"""What distance does to an exchange: contenders over a network's delay, and round trips counted from a slope.

A contender is a context manager that opens what it needs and yields a call, as those of `wirelab.clients` and
`wirelab.measure` do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .link import PROFILES, Link
from .measure import Call, interleaved
from .progress import progress
from .serving import Server
from .stats import Floats

Contenders = Mapping[str, AbstractContextManager[Call]]
Name = TypeVar("Name")

# Seconds until every contender has to be ready to start.
DEADLINE = 60.0
# Seconds of a round trip from which on contenders do not disturb each other.
FAR = 0.03


def taking_turns(contenders: Contenders, count: int = 200, *, warm_up: int = 30) -> dict[str, Floats]:
    """Open all contenders, time their calls with `wirelab.measure.interleaved`, in seconds, and close them."""
    with ExitStack() as stack:
        calls = {name: stack.enter_context(contender) for name, contender in contenders.items()}
        return interleaved(calls, count, warm_up=warm_up)


def side_by_side(
    contenders: Mapping[Name, AbstractContextManager[Call]], count: int = 5, *, warm_up: int = 1
) -> dict[Name, Floats]:
    """Time several calls at the same time, in seconds: each contender makes its own in a thread of its own.

    Nearly all of the time has to be spent waiting, as for a network with a delay; then they do not disturb each
    other, and the whole takes as long as the slowest of them. Where there is no delay, let them take turns.

    Args:
        contenders: opened at the beginning, closed at the end.
        count: calls that are timed.
        warm_up: calls before that; when everybody has made theirs, all begin to time at once.

    Raises:
        Exception: whatever a call raised first; the others end theirs.
    """
    line = threading.Barrier(len(contenders))
    done: list[float] = []

    def run(contender: AbstractContextManager[Call]) -> Floats:
        try:
            with contender as call:
                for _ in range(warm_up):
                    call()
                line.wait(DEADLINE)
                times = []
                for _ in range(count):
                    started = time.perf_counter()
                    call()
                    times.append(time.perf_counter() - started)
                    done.append(times[-1])
                return np.array(times)
        except BaseException:
            line.abort()
            raise

    with (
        ThreadPoolExecutor(len(contenders), "wirelab contender") as pool,
        progress("Contenders, side by side", len(contenders) * count) as step,
    ):
        runs = {name: pool.submit(run, contender) for name, contender in contenders.items()}
        while wait(runs.values(), timeout=0.1).not_done:
            step(len(done))
    for failure in filter(None, [one.exception() for one in runs.values()]):
        # That somebody else was not there any more is no news.
        if not isinstance(failure, threading.BrokenBarrierError):
            raise failure
    return {name: one.result() for name, one in runs.items()}


def on_every_profile(
    server: Server, contenders: Callable[[Link], Contenders], *, near: int = 20, far: int = 1
) -> dict[str, dict[str, float]]:
    """Return the median seconds of each contender's call on every profile of a `Link`.

    On near profiles the contenders take turns, one profile after the other; all far ones run side by side.

    Args:
        server: what the links lead to.
        contenders: makes them for a link.
        near: calls of each contender on each near profile.
        far: the same on each far one.
    """
    taken: dict[str, dict[str, float]] = {}
    for profile, network in PROFILES.items():
        if network.round_trip < FAR:
            with Link(server, profile=profile) as link:
                turns = taking_turns(contenders(link), near, warm_up=1)
            taken[profile] = {name: float(np.median(each)) for name, each in turns.items()}
    with ExitStack() as stack:
        links = {
            profile: stack.enter_context(Link(server, profile=profile))
            for profile in PROFILES
            if profile not in taken
        }
        everybody = {
            (profile, name): contender
            for profile, link in links.items()
            for name, contender in contenders(link).items()
        }
        for (profile, name), times in side_by_side(everybody, far, warm_up=0).items():
            taken.setdefault(profile, {})[name] = float(np.median(times))
    return taken


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
