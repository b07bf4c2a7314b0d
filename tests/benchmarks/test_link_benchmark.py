"""How close the link comes to kernel TCP over a wire of that length, what it costs itself, and what it holds.

Run on a quiet machine, as root where there are network namespaces with TUN devices:
``pytest -m benchmark -n 0 tests/benchmarks/test_link_benchmark.py``.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from truth_support import (
    BODIES,
    Certificate,
    compare,
    emulated,
    exchanges,
    make_certificate,
    serving,
    truth,
    why_no_truth,
)

from wirelab import Link
from wirelab._background import listening_socket
from wirelab._recording import KEPT

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

SMALL = ("new connection", "keep-alive", "new connection, TLS 1.3", "WebSocket open", "WebSocket echo")
# The targets: a share or seconds, whichever is more, of small exchanges; a share of bodies; seconds that the link
# may add to a round trip where there is no network; connections at once; bytes, and how much memory may grow when
# they come again: by what the link keeps to show.
SMALL_SHARE, SMALL_SECONDS = 0.05, 0.001
BODY_SHARE = 0.15
ADDED = 0.0003
AT_ONCE = 200
LARGE, GROWTH = 100_000_000, KEPT + 4_000_000
# Round trip in seconds: how often each small exchange and each body is made.
ROUNDS = {0.010: (41, 21), 0.050: (21, 15), 0.300: (9, 5)}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def need_truth(congestion_control: str) -> None:
    if reason := why_no_truth(congestion_control):
        pytest.skip(reason)


def row(capsys: Any, title: str, there: list[float], here: list[float]) -> tuple[float, float]:
    """Print a comparison, and return both medians."""
    true, link = statistics.median(there), statistics.median(here)
    with capsys.disabled():
        print(
            f"  {title:<34} wire {1000 * true:9.2f} ms   link {1000 * link:9.2f} ms"
            f"   {1000 * (link - true):+7.2f} ms {100 * (link / true - 1):+6.1f} %"
        )
    return true, link


@pytest.mark.parametrize("round_trip", ROUNDS)
def test_small_exchanges(capsys: Any, certificate: Certificate, round_trip: float) -> None:
    need_truth("reno")
    missed = []
    with truth(round_trip / 2, certificate, "reno") as true, emulated(round_trip / 2, certificate) as link:
        for name in SMALL:
            wire, emulation = row(
                capsys, f"{1000 * round_trip:g} ms, {name}", *compare(true, link, name, ROUNDS[round_trip][0])
            )
            if emulation != pytest.approx(wire, rel=SMALL_SHARE, abs=SMALL_SECONDS):
                missed.append(name)
    assert not missed


@pytest.mark.parametrize("round_trip", ROUNDS)
def test_bodies_on_a_reno_kernel(capsys: Any, certificate: Certificate, round_trip: float) -> None:
    need_truth("reno")
    missed = []
    with truth(round_trip / 2, certificate, "reno") as true, emulated(round_trip / 2, certificate) as link:
        for name in (f"body of {size} kB" for size in BODIES):
            wire, emulation = row(
                capsys, f"{1000 * round_trip:g} ms, {name}", *compare(true, link, name, ROUNDS[round_trip][1])
            )
            if emulation != pytest.approx(wire, rel=BODY_SHARE):
                missed.append(name)
    assert not missed


@pytest.mark.parametrize("congestion_control", ["reno", "cubic", "bbr"])
def test_uploads_and_other_kernels_for_comparison(
    capsys: Any, certificate: Certificate, congestion_control: str
) -> None:
    """No target: what the docstring of `Link` says of other congestion controls comes from here."""
    need_truth(congestion_control)
    with truth(0.025, certificate, congestion_control) as true, emulated(0.025, certificate) as link:
        for size in (20, 200, 1000):
            for kind in ("body", "upload"):
                name = f"{kind} of {size} kB"
                row(capsys, f"{congestion_control}, 50 ms, {name}", *compare(true, link, name, 5))


def test_what_the_link_itself_adds(capsys: Any, certificate: Certificate) -> None:
    with (
        serving("127.0.0.1", certificate) as servers,
        Link(servers.http) as http,
        Link(servers.ws) as ws,
        exchanges(servers, certificate.trust) as direct,
        exchanges(servers._replace(http=http.http, ws=ws.ws), certificate.trust) as linked,
    ):
        for name in SMALL:
            if "TLS" in name:
                continue
            times: dict[str, list[float]] = {"direct": [], "linked": []}
            for turn in range(1000):
                for arm in random.sample(list(times), 2):
                    seconds = (direct if arm == "direct" else linked)[name]()
                    if turn >= 50:
                        times[arm].append(seconds)
            without, with_link = row(capsys, f"no network, {name}", times["direct"], times["linked"])
            # Opening a connection is no round trip: it opens a second one, to the server.
            if name in ("keep-alive", "WebSocket echo"):
                assert with_link - without <= ADDED


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """A TCP server, a thread for each connection, that sends everything back."""
    with listening_socket(0) as listener:

        def one(sock: socket.socket) -> None:
            with sock, contextlib.suppress(OSError):
                while data := sock.recv(262_144):
                    sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("delay", [0.0, 0.025])
def test_two_hundred_connections_at_once(capsys: Any, delay: float) -> None:
    with echo_server() as port, Link(port, delay=delay) as link, contextlib.ExitStack() as stack:
        begin = time.perf_counter()
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", link.port), timeout=20))
            for _ in range(AT_ONCE)
        ]
        messages = [f"{number:1000}".encode() for number in range(AT_ONCE)]
        rounds = []
        for _ in range(3):
            for client, message in zip(clients, messages, strict=True):
                client.sendall(message)
            for client, message in zip(clients, messages, strict=True):
                received = b""
                while len(received) < len(message):
                    received += client.recv(2000)
                assert received == message
            rounds.append(time.perf_counter() - begin)
            begin = time.perf_counter()
        assert link.connections == AT_ONCE
        # Not one after the other.
        assert rounds[0] < 4 * delay + 1
        with capsys.disabled():
            took = ", ".join(f"{1000 * seconds:.1f} ms" for seconds in rounds)
            print(f"\n  {AT_ONCE} connections at once, {1000 * delay:g} ms one way: {took} a message of each")


def largest(work: Callable[[], None]) -> int:
    """Bytes of this process when it was largest while it worked."""
    process, done, sizes = psutil.Process(), threading.Event(), []

    def watch() -> None:
        while not done.wait(0.01):
            sizes.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return max(sizes)


@pytest.mark.parametrize("network", [{}, {"delay": 0.002}, {"profile": "LAN"}], ids=["none", "2 ms", "LAN"])
def test_a_hundred_megabytes(capsys: Any, network: dict[str, Any]) -> None:
    block = random.Random(1).randbytes(1_000_000)

    def through(link: Link) -> None:
        sent, received, count = hashlib.sha256(), hashlib.sha256(), 0
        with socket.create_connection(("127.0.0.1", link.port), timeout=60) as sock:

            def send() -> None:
                for number in range(LARGE // len(block)):
                    part = number.to_bytes(8) + block[8:]
                    sent.update(part)
                    sock.sendall(part)
                sock.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send)
            sender.start()
            while data := sock.recv(262_144):
                received.update(data)
                count += len(data)
            sender.join()
        assert count == LARGE
        assert sent.digest() == received.digest()

    with echo_server() as port, Link(port, **network) as link:
        before = psutil.Process().memory_info().rss
        begin = time.perf_counter()
        first, *_, last = (largest(lambda: through(link)) for _ in range(3))
        took = time.perf_counter() - begin
        assert (link.sent, link.received) == (3 * LARGE, 3 * LARGE)
    with capsys.disabled():
        print(
            f"\n  3 times {LARGE / 1e6:g} MB there and back, {link.network}: {3 * LARGE / 1e6 / took:.0f} MB/s "
            f"each way; memory {(first - before) / 1e6:.1f} MB, and {(last - first) / 1e6:+.1f} MB the third time"
        )
    assert first - before < LARGE / 4
    assert last - first < GROWTH
