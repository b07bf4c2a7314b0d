"""The link beside the truth: kernel TCP between two network namespaces with a wire of that length between them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from truth_support import SERVER, Certificate, Namespace, compare, emulated, make_certificate, truth, why_no_truth

from wirelab._background import listening_socket
from wirelab.link import Relay

SMALL = ("new connection", "keep-alive", "new connection, TLS 1.3", "WebSocket open", "WebSocket echo")
# The benchmark, tests/benchmarks/test_link_benchmark.py, compares medians on a quiet machine. Here others work
# meanwhile, which can only make an exchange longer: the shortest of each side counts, after as many as it takes.
SHARE, MARGIN = 0.05, 0.001
ENOUGH = 24


@pytest.fixture(scope="module", autouse=True)
def reno() -> None:
    if reason := why_no_truth("reno"):
        pytest.skip(reason)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.mark.parametrize("round_trip", [0.010, 0.050])
def test_exchanges_take_what_they_take_over_a_wire(certificate: Certificate, round_trip: float) -> None:
    with truth(round_trip / 2, certificate, "reno") as true, emulated(round_trip / 2, certificate) as link:
        for name in SMALL:
            there, here = compare(true, link, name, 4)
            while (expected := pytest.approx(min(there), SHARE, MARGIN)) != min(here) and len(here) < ENOUGH:
                for times, more in zip((there, here), compare(true, link, name, 4), strict=True):
                    times += more
            assert min(here) == expected, name


def test_bodies_take_what_they_take_on_a_reno_kernel(certificate: Certificate) -> None:
    with truth(0.015, certificate, "reno") as true, emulated(0.015, certificate) as link:
        for name in ("body of 20 kB", "body of 200 kB"):
            there, here = compare(true, link, name, 5)
            # The kernel itself takes a round trip more or less: its receiver's window grows sooner or later.
            assert 0.85 * min(there) <= min(here) <= 1.15 * max(there), name


@pytest.fixture
def elsewhere() -> Iterator[Namespace]:
    namespace = Namespace(SERVER, None)
    yield namespace
    namespace.close()


def test_a_relay_serves_clients_of_another_network(elsewhere: Namespace) -> None:
    def ask(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(b"hello")
            return sock.recv(100)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(100)).upper())
        await writer.drain()
        writer.close()

    async def check() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        target = server.sockets[0].getsockname()
        async with server, Relay(elsewhere.run(lambda: listening_socket(0)), target, delay=0.001) as relay:

            async def from_there() -> bytes:
                return await asyncio.to_thread(elsewhere.run, lambda: ask(relay.port))

            assert await from_there() == b"HELLO"
            for _ in range(2):
                relay.refuse()
                with pytest.raises(ConnectionRefusedError):
                    await from_there()
                # It still listens where its clients are.
                relay.accept()
                assert await from_there() == b"HELLO"

    asyncio.run(check())
