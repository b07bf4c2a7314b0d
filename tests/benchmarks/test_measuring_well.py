"""The instrument held against references: loops by hand, a load generator, distributions with a known truth.

Run with ``pytest -m benchmark tests/benchmarks/test_measuring_well.py``. Each contest is one run in which all take
turns, so that a busy machine strikes everybody; `wrk` (Debian's package of that name) is used where it is.
"""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import requests
import websockets
from websockets.sync.client import connect

from wirelab import serve
from wirelab._followers import Client
from wirelab.clients import bare_http
from wirelab.measure import (
    Call,
    WebSocketPush,
    in_step,
    keep_alive,
    new_connection,
    round_trips,
    watch,
    websocket_echo,
)
from wirelab.serving import Server
from wirelab.stats import Estimate, Floats, percentile_interval, replicate_interval

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

T = TypeVar("T")

# Shares by which the instrument may be off, and of the processor's time that it may cost.
OFF, COST = 0.05, 0.05
# What of 100 intervals of 95 % has to hold the truth.
COVERED = 0.93, 0.97


@pytest.fixture(scope="module")
def echo() -> Iterator[Server]:
    with serve("wirelab.apps.echo:app", process=True) as server:
        yield server


@contextmanager
def connected(echo: Server) -> Iterator[dict[str, tuple[Call, Call]]]:
    """For each kind of round trip: the kit's call, and the same by hand, each on a connection of its own."""
    url, uri = echo.http + "/echo?message=ping", echo.ws + "/echo"
    with ExitStack() as stack:
        session = stack.enter_context(requests.Session())
        session.trust_env = False
        websocket = stack.enter_context(connect(uri, compression=None, proxy=None))
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", echo.port)))

        def get() -> None:
            session.get(url).raise_for_status()

        def say() -> None:
            websocket.send("ping")
            websocket.recv()

        def ask() -> None:
            sock.sendall(b"GET /echo?message=ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            received = b""
            while not received.endswith(b"\r\n\r\nping"):
                received += sock.recv(4096)

        yield {
            "REST, requests": (stack.enter_context(keep_alive(url)), get),
            "REST, bare socket": (stack.enter_context(bare_http(url)), ask),
            "WebSocket echo": (stack.enter_context(websocket_echo(uri)), say),
        }


@pytest.fixture
def contenders(echo: Server) -> Iterator[dict[str, tuple[Call, Call]]]:
    with connected(echo) as pairs:
        yield pairs


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


def in_turns(turns: int, *works: Callable[[], T]) -> list[list[T]]:
    """Do things in turns, in another order each time; the results of each."""
    results: list[list[T]] = [[] for _ in works]
    order = list(range(len(works)))
    for _ in range(turns):
        for place in order:
            results[place].append(works[place]())
        order = [*order[1:], order[0]]
    return results


def undisturbed(some: list[float], others: list[float]) -> float:
    """The ratio of lower quartiles: what others do on the machine only ever adds to processor time."""
    return float(np.percentile(some, 25) / np.percentile(others, 25))


def test_the_median_is_that_of_a_loop_by_hand(echo: Server) -> None:
    times: dict[str, list[list[Floats]]] = {}
    # Connections differ, by the cores that their threads run on: so there are several of each kind. And the turns
    # are short, since a busy machine changes its pace several times a second.
    for _ in range(5):
        with connected(echo) as pairs:
            for name, (kits, own) in pairs.items():
                works = (partial(round_trips, call, 20, warm_up=0) for call in (kits, own))
                times.setdefault(name, []).append(
                    [np.concatenate(one) for one in in_turns(40, *works, partial(by_hand, own, 20))]
                )
    for name, rounds in times.items():
        kit, same, hand = (np.concatenate(one) for one in zip(*rounds, strict=True))
        instrument, all_of_it = (float(np.median(each) / np.median(hand)) for each in (same, kit))
        print(f"\n{name}: median, the kit's timing to a loop by hand {instrument:.3f}", end="")
        print(f", its call and timing {all_of_it:.3f}", end="")
        assert abs(instrument - 1) < OFF
        if name != "REST, bare socket":
            # There the two read the answer in different ways.
            assert abs(all_of_it - 1) < OFF


def test_timing_costs_little_of_the_processor(contenders: dict[str, tuple[Call, Call]]) -> None:
    # The same call on both sides, as often as by default: what differs is the timing alone, its set-up included.
    for name, (call, _) in contenders.items():
        kit, own, again = in_turns(
            100,
            partial(cpu, partial(round_trips, call, 200, warm_up=0)),
            partial(cpu, partial(by_hand, call, 200)),
            partial(cpu, partial(by_hand, call, 200)),
        )
        ratio, noise = undisturbed(kit, own), undisturbed(again, own)
        print(f"\n{name}: processor, kit to loop by hand {ratio:.3f}; two loops by hand {noise:.3f}", end="")
        assert ratio < 1 + COST


def test_helpers_cost_little_more_than_the_same_by_hand(
    contenders: dict[str, tuple[Call, Call]], echo: Server
) -> None:
    url = echo.http + "/echo?message=ping"
    pairs = {name: pair for name, pair in contenders.items() if name != "REST, bare socket"}

    def get_anew() -> None:
        # As requests.get does it, without a look for a proxy.
        with requests.Session() as session:
            session.trust_env = False
            session.get(url).raise_for_status()

    with new_connection(url) as call:
        for name, (kits, own) in {**pairs, "REST, a new connection": (call, get_anew)}.items():
            kit, hand = in_turns(
                60, partial(cpu, partial(by_hand, kits, 50)), partial(cpu, partial(by_hand, own, 50))
            )
            ratio = undisturbed(kit, hand)
            print(f"\n{name}: processor, the kit's call to one by hand {ratio:.3f}", end="")
            assert ratio < 1 + COST


class PushByHand:
    """A client of the feed as anybody would write it, and no more notes than anybody would take."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    async def follow(self, client: Client) -> None:
        uri = client.url.replace("http", "ws", 1) + "/stream"
        async with websockets.connect(uri, compression=None, proxy=None) as websocket:
            window = await client.begin()
            async for message in websocket:
                self.seen.append((json.loads(message)["seq"], time.perf_counter()))
                if self.seen[-1][0] >= window.last:
                    return


def test_watching_costs_no_more_than_a_client_by_hand() -> None:
    schedule = in_step(0.002, 500)
    with serve("wirelab.apps.feed:app", process=True) as feed:

        def client_cpu(contender: Any) -> float:
            spent = watch(feed.http, contender, schedule).client_cpu
            assert spent is not None
            return spent

        kit, hand = in_turns(8, lambda: client_cpu(WebSocketPush()), lambda: client_cpu(PushByHand()))
    ratio = undisturbed(kit, hand)
    print(f"\nPush, 500 a second: the client's processor, kit to one by hand {ratio:.3f}", end="")
    assert ratio < 1 + COST


# A reference that nobody here wrote

# wrk adds times to a sample for the questions that it could not ask during a stall, all above the mean. Up to the
# middle of the requests that were made, the sample is what was measured.
REPORT = """
done = function(all, latency)
    local seen = 0
    for place = 1, #latency do
        local microseconds, count = latency(place)
        seen = seen + count
        if seen >= all.requests / 2 then
            io.write(string.format("p50 %d\\n", microseconds))
            return
        end
    end
end
"""


class Wrk:
    """The load generator, on one connection and one thread, one request after another."""

    def __init__(self, folder: Path) -> None:
        self._script = folder / "report.lua"
        self._script.write_text(REPORT)

    def median(self, url: str) -> float:
        """Load a server for a second; the median time of a request, in seconds."""
        command = ["wrk", "-t1", "-c1", "-d1s", "-s", str(self._script), url]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        return float(said.rpartition("p50 ")[2]) / 1e6


@pytest.fixture
def wrk(tmp_path: Path) -> Wrk:
    if not shutil.which("wrk"):
        pytest.skip("there is no wrk (Debian has it in the package of that name)")
    return Wrk(tmp_path)


def test_medians_are_those_of_wrk(wrk: Wrk, echo: Server) -> None:
    # Where the server takes its time, what the clients themselves take matters little.
    url = echo.http + "/report?work=0.05"
    with bare_http(url) as bare, keep_alive(url) as session:
        theirs, *ours = in_turns(
            6,
            partial(wrk.median, url),
            lambda: float(np.median(round_trips(bare, 20, warm_up=1))),
            lambda: float(np.median(round_trips(session, 20, warm_up=1))),
        )
    for name, medians in zip(("bare socket", "requests"), ours, strict=True):
        ratio = np.median(medians) / np.median(theirs)
        print(f"\nAn answer after {1000 * np.median(theirs):.1f} ms: median, {name} to wrk {ratio:.3f}", end="")
        assert abs(ratio - 1) < OFF


def test_on_loopback_wrk_is_the_floor(wrk: Wrk, echo: Server) -> None:
    url = echo.http + "/echo?message=ping"
    with bare_http(url) as bare, keep_alive(url) as session:
        theirs, *ours = in_turns(
            8,
            partial(wrk.median, url),
            lambda: float(np.median(round_trips(bare, 1000))),
            lambda: float(np.median(round_trips(session, 300))),
        )
    shares = [np.median(np.divide(medians, theirs)) for medians in ours]
    print(
        f"\nAn answer after {1e6 * np.median(theirs):.0f} µs by wrk: bare socket {shares[0]:.2f} ×, requests ",
        end="",
    )
    print(f"{shares[1]:.2f} ×", end="")
    # Nothing that Python does is quicker than C, and a bare socket is not much slower.
    assert 1 - OFF < shares[0] < 1.6
    assert shares[0] < shares[1]


# How often the intervals hold the truth

Draw = Callable[[np.random.Generator, int], Floats]


# Each with its median.
SHAPES: dict[str, tuple[Draw, float]] = {
    "a bell": (lambda rng, n: rng.normal(5, 1, n), 5.0),
    "a floor and a tail": (lambda rng, n: 1 + rng.exponential(1, n), 1 + math.log(2)),
    "a long tail": (lambda rng, n: rng.lognormal(0, 0.6, n), 1.0),
}


def share_that_hold(runs: int, truth: float, estimate: Callable[[int], Estimate]) -> float:
    return sum(estimate(run).covers(truth) for run in range(runs)) / runs


@pytest.mark.parametrize("size", [60, 200])
@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_hold_the_truth_as_often_as_they_say(shape: str, size: int) -> None:
    draw, median = SHAPES[shape]
    rng = np.random.default_rng(20)
    shares = {"median": share_that_hold(2000, median, lambda _: percentile_interval(draw(rng, size), 50))}
    if shape == "a bell":
        # Replicates are means of surveys: that is what they are like, and the mean of a bell is its median.
        shares["replicates"] = share_that_hold(2000, median, lambda _: replicate_interval(draw(rng, size // 6)))
    told_shares = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    print(f"\n{shape}, {size} samples: {told_shares}", end="")
    for name, share in shares.items():
        assert COVERED[0] <= share <= COVERED[1], name
