"""What the instrument itself adds: the kit's round trips beside loops written by hand, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

import numpy as np
import pytest
import requests
from websockets.asyncio.server import ServerConnection
from websockets.sync.client import connect

from wirelab import serve
from wirelab.measure import Call, keep_alive, round_trips, websocket_echo
from wirelab.stats import ratio_interval

pytestmark = pytest.mark.benchmark

T = TypeVar("T")


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.fixture
def contenders() -> Iterator[dict[str, tuple[Call, Call]]]:
    """For each kind of round trip: the kit's call, and the same by hand."""
    with ExitStack() as stack:
        rest = stack.enter_context(serve("wirelab.apps.feed:app", process=True))
        server = stack.enter_context(serve(f"{__name__}:echo", process=True))
        session = stack.enter_context(requests.Session())
        session.trust_env = False
        websocket = stack.enter_context(connect(server.ws, compression=None, proxy=None))

        def get() -> None:
            session.get(rest.http + "/latest").raise_for_status()

        def say() -> None:
            websocket.send("ping")
            websocket.recv()

        yield {
            "REST, kept alive": (stack.enter_context(keep_alive(rest.http + "/latest")), get),
            "WebSocket echo": (stack.enter_context(websocket_echo(server.ws)), say),
        }


def by_hand(call: Call, count: int) -> list[float]:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turns(turns: int, first: Callable[[], T], second: Callable[[], T]) -> list[tuple[T, T]]:
    """Do two things `turns` times, each as often the earlier as the later one."""
    results = []
    for turn in range(turns):
        if turn % 2:
            results.append((first(), second()))
        else:
            results.append((second(), first())[::-1])
    return results


@pytest.mark.timeout(300)
def test_the_median_is_that_of_a_loop_by_hand(contenders: dict[str, tuple[Call, Call]]) -> None:
    for name, (kits, own) in contenders.items():
        # In short turns: a busy machine changes its pace several times a second.
        turns = in_turns(200, partial(round_trips, kits, 20, warm_up=0), partial(by_hand, own, 20))
        ratio = ratio_interval(*(np.concatenate(times) for times in zip(*turns, strict=True)))
        print(f"\n{name}: kit to loop by hand {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
        assert 0.95 < ratio.value < 1.05


@pytest.mark.timeout(300)
def test_timing_costs_little_of_the_processor(contenders: dict[str, tuple[Call, Call]]) -> None:
    # The same call on both sides, as often as by default: what differs is the timing alone, its set-up included.
    for name, (call, _) in contenders.items():
        turns = in_turns(
            80, partial(cpu, partial(round_trips, call, 200, warm_up=0)), partial(cpu, partial(by_hand, call, 200))
        )
        ratio = ratio_interval(*zip(*turns, strict=True))
        print(f"\n{name}: processor, kit to loop by hand {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
        assert ratio.value < 1.05
