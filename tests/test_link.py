"""The emulated network: what passes, when, what faults do to it, what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import trustme
from kernel_support import kernel
from serving_support import (
    DEADLINE,
    Gate,
    Leftovers,
    echo,
    get,
    is_free,
    read_until,
    request_open,
    rest,
    wait_until,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosedError, WebSocketException
from websockets.sync.client import ClientConnection, connect

from wirelab import Link, ServeError, Server, serve, serving, stop_all
from wirelab._background import listening_socket
from wirelab._network import INITIAL_WINDOW, SEGMENT, in_packets
from wirelab.link import PROFILES, Network, Relay

DELAY = 0.02
ROUND_TRIP = 2 * DELAY
# Seconds by which a busy machine may make something late.
LATE = 0.5


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    stop_all()
    assert [thread.name for thread in threading.enumerate() if "wirelab" in thread.name] == []


@pytest.fixture
def app() -> Server:
    return serve(rest(Gate()), name="app")


@pytest.fixture
def sockets() -> Server:
    return serve(echo, max_size=None)


def client(link: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=DEADLINE)


def websocket(link: Server, **options: Any) -> ClientConnection:
    return connect(link.ws, proxy=None, **options)  # type: ignore[return-value]


def seconds(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def fetch(session: requests.Session, url: str) -> str:
    return session.get(url, timeout=DEADLINE).text


@contextlib.contextmanager
def plain_server(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A bare TCP server for one connection after the other."""
    with listening_socket(0) as listener:

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock:
                        handle(sock)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE)


def send_back(sock: socket.socket) -> None:
    """Send back what comes, in an order of its own."""
    with contextlib.suppress(OSError):
        while data := sock.recv(65_536):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


def to_the_end(sock: socket.socket) -> bytes:
    data = b""
    while part := sock.recv(65_536):
        data += part
    return data


def until_reset(sock: socket.socket) -> int:
    """Read until the connection is reset, and return how many bytes came."""
    count = 0
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(20_000):
            count += len(part)
        pytest.fail("the connection was closed, not reset")
    return count


# What passes


@pytest.mark.parametrize("network", [{}, {"delay": 0.005}, {"profile": "LAN"}], ids=["zero", "delay", "LAN"])
def test_http_websocket_and_events_pass(app: Server, sockets: Server, network: dict[str, Any]) -> None:
    with Link(app, **network) as link, Link(sockets, **network) as socket_link:
        with requests.Session() as session:
            assert [fetch(session, link.http) for _ in range(3)] == ["hello"] * 3
        with websocket(socket_link) as connection:
            for message in ("text", b"bytes", "x" * 300_000):
                connection.send(message)
                assert connection.recv(DEADLINE) == message
        with requests.get(link.http + "/events", stream=True, timeout=DEADLINE) as answer:
            lines = answer.iter_lines()
            assert [next(lines) for _ in range(4)] == [b"data: tick", b"", b"data: tick", b""]
        assert link.connections == 2
        assert socket_link.connections == 1


def test_tls_passes_and_stays_closed(certificates: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server_side, client_side = certificates
    with Link(serve(echo, ssl=server_side), delay=0.005) as link:
        assert link.ws.startswith("wss://127.0.0.1:")
        assert link.http.startswith("https://")
        with websocket(link, ssl=client_side) as connection:
            connection.send("secret")
            assert connection.recv(DEADLINE) == "secret"
        messages = link.exchange().messages
    assert [message.title.split(",")[0] for message in messages[:2]] == ["TLS client hello", "TLS server hello"]
    assert {message.kind for message in messages} <= {"tls", "end", "reset"}
    assert not any(b"secret" in message.data for message in messages)


@pytest.fixture(scope="session")
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server_side, client_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.configure_trust(client_side)
    return server_side, client_side


def test_a_server_is_given_by_itself_by_its_address_or_by_its_port(app: Server) -> None:
    for target in (app, app.http, app.http + "/", app.ws, app.port, f"http://localhost:{app.port}"):
        with Link(target) as link:
            assert requests.get(link.http, timeout=DEADLINE).text == "hello"


def test_links_can_be_chained_and_their_delays_add_up(app: Server) -> None:
    with Link(app, delay=DELAY) as near, Link(near, delay=DELAY) as far, requests.Session() as session:
        fetch(session, far.http)
        assert seconds(lambda: fetch(session, far.http)) >= 2 * ROUND_TRIP


def test_a_link_may_have_a_port_of_its_own(app: Server) -> None:
    with Link(app) as link:
        port = link.port
    with Link(app, port=port) as link:
        assert link.port == port
        assert link.http == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"delay": 0.001, "jitter": 0.003},
        {"delay": 0.003, "bandwidth": 20e6},
        {"jitter": 0.002, "bandwidth": 50e6},
        {"bandwidth": 30e6},
    ],
    ids=lambda network: "-".join(network) or "zero",
)
def test_every_byte_arrives_in_order_both_ways(network: dict[str, float]) -> None:
    data = random.Random(1).randbytes(3_000_000)
    with plain_server(send_back) as port, Link(port, **network) as link:
        with client(link) as sock:
            received: list[bytes] = []
            reader = threading.Thread(target=lambda: received.append(to_the_end(sock)))
            reader.start()
            place, sizes = 0, random.Random(2)
            while place < len(data):
                size = sizes.choice([1, 100, 1500, 65_536, 300_000])
                sock.sendall(data[place : place + size])
                place += size
            sock.shutdown(socket.SHUT_WR)
            reader.join(DEADLINE)
        assert hashlib.sha256(received[0]).digest() == hashlib.sha256(data).digest()
        assert (link.sent, link.received) == (len(data), len(data))


def test_two_hundred_connections_at_once(sockets: Server) -> None:
    async def one(link: Link, number: int) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        # Not the server's protocol, only bytes: each connection has its own.
        writer.write(f"GET /{number} HTTP/1.0\r\n\r\n".encode())
        await asyncio.sleep(0)
        answer = await reader.read()
        writer.close()
        return answer.decode()

    async def all_of_them(link: Link) -> list[str]:
        async with asyncio.timeout(3 * DEADLINE):
            return await asyncio.gather(*(one(link, number) for number in range(200)))

    async def number(request: Request) -> Response:
        return Response(request.path_params["number"], headers={"connection": "close"})

    with Link(serve(Starlette(routes=[Route("/{number}", number)])), delay=0.01) as link:
        answers = asyncio.run(all_of_them(link))
        assert [answer.rpartition("\r\n")[2] for answer in answers] == [str(number) for number in range(200)]
        assert link.connections == 200


def test_a_slow_reader_holds_the_sender_up_and_grows_no_memory() -> None:
    sent = 0

    def flood(sock: socket.socket) -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            while True:
                sent += sock.send(bytes(65_536))

    with plain_server(flood) as port, Link(port, delay=0.001) as link, client(link) as sock:
        sock.recv(1)
        before = -1
        while sent > before:
            before = sent
            time.sleep(0.2)
        # What lies in the buffers of two systems' sockets, and the few megabytes that may be on the way.
        held = sent - link.received
        assert held < 16_000_000
        for _ in range(100):
            sock.recv(1_000_000)
        wait_until(lambda: sent > before, "the sender goes on")


# When it arrives


def test_round_trips_are_counted_as_on_a_wire(app: Server, sockets: Server) -> None:
    with Link(app, delay=DELAY) as link, Link(sockets, delay=DELAY) as socket_link, requests.Session() as session:
        assert 2 * ROUND_TRIP <= seconds(lambda: fetch(session, link.http)) < 2 * ROUND_TRIP + LATE
        assert ROUND_TRIP <= seconds(lambda: fetch(session, link.http)) < ROUND_TRIP + LATE
        begin = time.perf_counter()
        with websocket(socket_link) as connection:
            assert 2 * ROUND_TRIP <= time.perf_counter() - begin < 2 * ROUND_TRIP + LATE

            def once() -> None:
                connection.send("x")
                connection.recv(DEADLINE)

            assert ROUND_TRIP <= seconds(once) < ROUND_TRIP + LATE


def test_tls_costs_one_round_trip_more(certificates: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server_side, client_side = certificates
    with Link(serve(echo, ssl=server_side), delay=DELAY) as link:
        begin = time.perf_counter()
        with websocket(link, ssl=client_side):
            assert 3 * ROUND_TRIP <= time.perf_counter() - begin < 3 * ROUND_TRIP + LATE


def test_a_server_that_speaks_first_is_heard_after_two_round_trips() -> None:
    with plain_server(lambda sock: sock.sendall(b"220 hello")) as port, Link(port, delay=DELAY) as link:
        begin = time.perf_counter()
        with client(link) as sock:
            assert sock.recv(100) == b"220 hello"
        assert 2 * ROUND_TRIP <= time.perf_counter() - begin < 2 * ROUND_TRIP + LATE


def test_what_a_client_says_before_it_has_heard_the_server_waits_for_the_handshake() -> None:
    arrivals: list[float] = []

    def note(sock: socket.socket) -> None:
        for _ in range(2):
            sock.recv(1)
            arrivals.append(time.perf_counter())

    with plain_server(note) as port, Link(port, delay=0.05) as link, client(link) as sock:
        sent = []
        for _ in range(2):
            sent.append(time.perf_counter())
            sock.send(b"x")
            time.sleep(0.03)
        wait_until(lambda: len(arrivals) == 2, "both bytes are there")
    for left, arrived in zip(sent, arrivals, strict=True):
        assert arrived - left >= 0.15


def body(sock: socket.socket) -> None:
    """Answer each byte, a number, with so many thousands of bytes."""
    while number := sock.recv(1):
        sock.sendall(bytes(1000 * number[0]))


def test_a_large_body_takes_the_round_trips_of_slow_start() -> None:
    def ask(sock: socket.socket, thousands: int) -> float:
        begin = time.perf_counter()
        sock.sendall(bytes([thousands]))
        left = 1000 * thousands
        while left:
            left -= len(sock.recv(65_536))
        return time.perf_counter() - begin

    with plain_server(body) as port, Link(port, delay=DELAY) as link:
        with client(link) as sock:
            ask(sock, 1)
            # 10 packets, then 20, 40 and the rest; one packet of the first ten was the byte's answer.
            assert 4 * ROUND_TRIP <= ask(sock, 140) < 4 * ROUND_TRIP + LATE
            # The window is open now.
            assert ask(sock, 80) < 4 * ROUND_TRIP + LATE
            once_more = min(ask(sock, 80) for _ in range(3))
        with client(link) as sock:
            # A new connection begins anew, one round trip for its handshake.
            assert ask(sock, 80) >= 4 * ROUND_TRIP
    assert ROUND_TRIP <= once_more < 3 * ROUND_TRIP


def test_the_window_of_an_idle_connection_closes_again() -> None:
    with plain_server(body) as port, Link(port, delay=0.005) as link, client(link) as sock:

        def ask() -> None:
            sock.sendall(bytes([200]))
            left = 200_000
            while left:
                left -= len(sock.recv(65_536))

        ask()
        (connection,) = link._engine.relay._open
        wide = connection.down._congestion_window
        time.sleep(0.5)
        ask()
        assert wide >= 8 * INITIAL_WINDOW
        # Two halvings, then it grew again, from what it had left.
        assert connection.down._congestion_window <= 2 * wide


def test_bandwidth_is_shared_by_connections() -> None:
    data, bandwidth = bytes(100_000), 1e6
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(plain_server(lambda sock: sock.sendall(data))) for _ in range(1)]
        link = stack.enter_context(Link(ports[0], bandwidth=bandwidth))
        begin = time.perf_counter()
        clients = [stack.enter_context(client(link)) for _ in range(3)]
        assert [len(to_the_end(sock)) for sock in clients] == [len(data)] * 3
        took = time.perf_counter() - begin
    assert 3 * len(data) / bandwidth <= took < 3 * len(data) / bandwidth + LATE


def test_bandwidth_lets_a_body_trickle() -> None:
    serving_body = plain_server(lambda sock: sock.sendall(bytes(200_000)))
    with serving_body as port, Link(port, bandwidth=1e6) as link, client(link) as sock:
        times = []
        while sock.recv(65_536):
            times.append(time.perf_counter())
    assert len(times) > 20
    assert times[-1] - times[0] > 0.1


def test_jitter_delays_and_never_reorders() -> None:
    with plain_server(send_back) as port, Link(port, delay=0.002, jitter=0.03) as link, client(link) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        took = []
        for number in range(30):
            begin = time.perf_counter()
            sock.sendall(bytes([number]))
            assert sock.recv(1) == bytes([number])
            took.append(time.perf_counter() - begin)
        for number in range(100):
            sock.sendall(bytes([number]))
        sock.shutdown(socket.SHUT_WR)
        assert to_the_end(sock) == bytes(range(100))
    assert min(took[1:]) >= 0.004
    assert max(took) - min(took) > 0.01


def test_a_link_without_a_network_adds_nothing_but_itself(app: Server) -> None:
    with Link(app, profile="loopback") as link, requests.Session() as session:
        fetch(session, link.http)
        assert link.network.idle
        assert min(seconds(lambda: fetch(session, link.http)) for _ in range(20)) < 0.02


# Faults


def stream(link: Link) -> tuple[requests.Response, Iterator[bytes]]:
    answer = requests.get(link.http + "/events", stream=True, timeout=DEADLINE)
    lines = answer.iter_lines()
    assert next(lines) == b"data: tick"
    return answer, lines


def test_reset_breaks_every_open_connection(app: Server, sockets: Server) -> None:
    with contextlib.ExitStack() as stack:
        link, socket_link = (stack.enter_context(Link(server, delay=0.001)) for server in (app, sockets))
        connection = stack.enter_context(websocket(socket_link))
        session = stack.enter_context(requests.Session())
        fetch(session, link.http)
        answer, lines = stream(link)
        waiting = stack.enter_context(request_open(link.port, get("/poll")))
        link.reset()
        socket_link.reset()
        with answer, pytest.raises(requests.RequestException):
            list(lines)
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)
        with pytest.raises(ConnectionClosedError):
            connection.recv(DEADLINE)
        # New connections work.
        assert fetch(session, link.http) == "hello"


def test_reset_breaks_tls(certificates: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server_side, client_side = certificates
    with Link(serve(echo, ssl=server_side), delay=0.001) as link, websocket(link, ssl=client_side) as connection:
        link.reset()
        with pytest.raises(ConnectionClosedError):
            connection.recv(DEADLINE)


@pytest.mark.parametrize("network", [{}, {"delay": 0.002}], ids=["zero", "delay"])
def test_freeze_lets_nothing_pass_and_closes_nothing(
    app: Server, sockets: Server, network: dict[str, float]
) -> None:
    with contextlib.ExitStack() as stack:
        link, socket_link = (stack.enter_context(Link(server, **network)) for server in (app, sockets))
        connection = stack.enter_context(websocket(socket_link))
        kept = stack.enter_context(request_open(link.port, get("/")))
        assert read_until(kept, b"hello")
        for each in (link, socket_link):
            each.freeze()
        before = link.sent, link.received, socket_link.sent, socket_link.received
        connection.send("later")
        kept.sendall(get("/").replace("\n", "\r\n").encode())
        with pytest.raises(TimeoutError):
            connection.recv(0.15)
        new = stack.enter_context(request_open(link.port, get("/")))
        new.settimeout(0.15)
        with pytest.raises(TimeoutError):
            new.recv(1)
        assert (link.sent, link.received, socket_link.sent, socket_link.received) == before
        for each in (link, socket_link):
            each.thaw()
        assert connection.recv(DEADLINE) == "later"
        new.settimeout(DEADLINE)
        assert read_until(new, b"hello")
        assert read_until(kept, b"hello")


def test_who_came_and_went_while_it_was_frozen_is_never_seen_by_the_server() -> None:
    seen = []
    with plain_server(lambda sock: seen.append(sock.recv(100))) as port, Link(port) as link:
        link.freeze()
        for _ in range(3):
            with client(link) as sock:
                sock.sendall(b"gone")
        wait_until(lambda: link.connections == 3, "all have been there")
        link.thaw()
        with client(link) as sock:
            sock.sendall(b"here")
            assert sock.recv(1) == b""
    assert seen == [b"here"]


def test_freezing_twice_and_thawing_twice_are_harmless(app: Server) -> None:
    with Link(app) as link:
        link.thaw()
        link.freeze()
        link.freeze()
        link.thaw()
        link.thaw()
        assert requests.get(link.http, timeout=DEADLINE).text == "hello"


def test_a_frozen_link_stops(app: Server) -> None:
    with Link(app, delay=0.001) as link, request_open(link.port, get("/poll")):
        link.freeze()
        with request_open(link.port, get("/")):
            wait_until(lambda: link.connections == 2, "both are there")
            assert seconds(link.stop) < LATE


def test_half_close_says_that_the_server_is_done(app: Server, sockets: Server) -> None:
    with Link(app, delay=0.001) as link, Link(sockets, delay=0.001) as socket_link:
        answer, lines = stream(link)
        with answer, websocket(socket_link) as connection:
            link.half_close()
            with pytest.raises(requests.RequestException):
                list(lines)
            socket_link.half_close()
            with pytest.raises(ConnectionClosedError):
                connection.recv(DEADLINE)


def test_after_a_half_close_the_client_may_still_send() -> None:
    received = []

    def listen(sock: socket.socket) -> None:
        sock.sendall(b"a")
        received.append(to_the_end(sock))

    with plain_server(listen) as port, Link(port, delay=0.001) as link:
        with client(link) as sock:
            assert sock.recv(1) == b"a"
            link.half_close()
            assert sock.recv(1) == b""
            sock.sendall(b"still here")
        wait_until(lambda: received == [b"still here"], "the server has heard it")


@pytest.mark.parametrize(
    "network", [{}, {"delay": 0.002}, {"bandwidth": 10e6}], ids=["zero", "delay", "bandwidth"]
)
@pytest.mark.parametrize("count", [1, 1000, 1_500_000])
def test_drop_after_lets_exactly_so_many_bytes_pass(network: dict[str, float], count: int) -> None:
    def flood(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.recv(1)
            while True:
                sock.sendall(random.Random(3).randbytes(50_000))

    with plain_server(flood) as port, Link(port, **network) as link:
        with client(link) as sock:
            link.drop_after(count)
            sock.sendall(b"x")
            assert until_reset(sock) == count
        assert link.received == count
        # Once only.
        with client(link) as sock:
            sock.sendall(b"x")
            assert len(sock.recv(50_000)) > 0


def test_drop_after_nothing_resets_at_once_and_less_is_refused(sockets: Server) -> None:
    with Link(sockets) as link, websocket(link) as connection:
        for wrong in (-1, 1e3, "10"):
            with pytest.raises(ValueError, match=f"drop_after takes the number of bytes .* not {wrong!r}"):
                link.drop_after(wrong)  # type: ignore[arg-type]
        link.drop_after(0)
        with pytest.raises(ConnectionClosedError):
            connection.recv(DEADLINE)


def test_refuse_and_accept(app: Server, sockets: Server) -> None:
    with Link(app) as link, Link(sockets) as socket_link, websocket(socket_link) as connection:
        for _ in range(3):
            link.refuse()
            link.refuse()
            socket_link.refuse()
            with pytest.raises(requests.ConnectionError):
                requests.get(link.http, timeout=DEADLINE)
            with pytest.raises(OSError):  # noqa: PT011 (refused or, where the system cannot, reset)
                client(link).recv(1)
            # What is open stays.
            connection.send("x")
            assert connection.recv(DEADLINE) == "x"
            link.accept()
            link.accept()
            socket_link.accept()
            assert requests.get(link.http, timeout=DEADLINE).text == "hello"
            with websocket(socket_link):
                pass


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="only Linux can refuse on a socket that it keeps")
def test_refused_is_what_a_client_is_told(app: Server) -> None:
    with Link(app) as link:
        link.refuse()
        with pytest.raises(ConnectionRefusedError):
            client(link)
        # The port stays the link's meanwhile.
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", link.port))


def test_who_meets_no_server_is_reset() -> None:
    with listening_socket(0) as listener:
        port = listener.getsockname()[1]
    with Link(port, delay=0.001) as link:
        with pytest.raises(requests.ConnectionError):
            requests.get(link.http, timeout=DEADLINE)
        assert [message.title for message in link.exchange().messages] == ["server resets the connection"]


def test_a_clients_reset_reaches_the_server() -> None:
    seen: list[object] = []

    def wait_for_it(sock: socket.socket) -> None:
        try:
            while data := sock.recv(100):
                seen.append(data)
        except ConnectionResetError:
            seen.append("reset")

    with plain_server(wait_for_it) as port, Link(port, delay=0.005) as link:
        sock = client(link)
        sock.sendall(b"before")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        wait_until(lambda: "reset" in seen, "the server sees the reset")
    assert seen == [b"before", "reset"]


def test_faults_while_data_flows_leave_the_link_working(app: Server, sockets: Server) -> None:
    chance = random.Random(4)
    with Link(app, delay=0.001) as link, Link(sockets, delay=0.001, jitter=0.002) as socket_link:
        faults = [
            lambda each: each.reset(),
            lambda each: (each.freeze(), each.thaw()),
            lambda each: each.half_close(),
            lambda each: each.drop_after(chance.randrange(5000)),
            lambda each: (each.refuse(), each.accept()),
        ]
        for _ in range(40):
            with contextlib.suppress(requests.RequestException, WebSocketException, OSError, EOFError):
                answer, lines = stream(link)
                with answer, websocket(socket_link) as connection:
                    connection.send("x" * chance.randrange(100_000))
                    chance.choice(faults)(socket_link)
                    chance.choice(faults)(link)
                    next(lines)
        # A fuse that nothing burnt may be left.
        link.drop_after(0)
        socket_link.drop_after(0)
        assert requests.get(link.http, timeout=DEADLINE).text == "hello"
        with websocket(socket_link) as connection:
            connection.send("x")
            assert connection.recv(DEADLINE) == "x"


def test_reset_breaks_what_was_opened_just_before(app: Server) -> None:
    with Link(app, delay=0.001) as link:
        for number in range(1, 51):
            with client(link) as sock:
                link.reset()
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
            assert link.connections == number


def test_reset_ends_what_hangs_at_a_frozen_link(app: Server) -> None:
    with Link(app, delay=0.001) as link:
        link.freeze()
        with client(link) as accepted:
            wait_until(lambda: link.connections == 1, "it is accepted")
            link.reset()
            with pytest.raises(ConnectionResetError):
                accepted.recv(1)
        link.thaw()
        assert requests.get(link.http, timeout=DEADLINE).text == "hello"


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"delay": -0.1},
            "delay=-0.1 is out of range: it is in seconds, from 0 to 3. For 25 ms write delay=0.025.",
        ),
        ({"delay": 25}, "delay=25 is out of range: it is in seconds"),
        ({"delay": float("nan")}, "delay=nan is out of range"),
        ({"jitter": -1}, "jitter=-1 is out of range"),
        ({"delay": "0.1"}, "delay='0.1' is no number"),
        ({"bandwidth": 0}, "bandwidth=0 is out of range: it is in bytes a second, more than 0"),
        (
            {"profile": "moon"},
            "There is no profile 'moon': take one of loopback, LAN, city, ocean, mobile, satellite.",
        ),
    ],
)
def test_a_network_that_cannot_be_is_refused(app: Server, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is looked at)
        Link(app, **arguments)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "server", ["http://example.com:80", "http://127.0.0.1", "127.0.0.1:80", "http://127.0.0.1:1/x"]
)
def test_an_address_that_is_no_server_of_this_machine_is_refused(server: str) -> None:
    with pytest.raises(ValueError, match="is no base URL, with a port, of a server on this machine"):
        Link(server)


def test_a_port_that_is_none_and_a_server_that_is_none_are_refused() -> None:
    with pytest.raises(ValueError, match="70000 is no port"):
        Link(70_000)
    with pytest.raises(TypeError, match="A link leads to a server, its URL or its port, not to None"):
        Link(None)  # type: ignore[arg-type]


def test_a_stopped_server_and_a_stopped_link_are_refused(app: Server) -> None:
    link = Link(app, delay=0.001)
    app.stop()
    with pytest.raises(ServeError, match="Server app has stopped: serve it again, then make the link"):
        Link(app)
    link.stop()
    with pytest.raises(ServeError, match=r"The link to app, 1 ms has stopped: make it again with Link\(\.\.\.\)"):
        link.freeze()


def test_a_port_that_is_taken_is_refused(app: Server) -> None:
    with pytest.raises(ServeError, match=f"port {app.port} is taken by your server 'app'"):
        Link(app, port=app.port)


def test_profiles_have_sources_and_may_be_changed(app: Server) -> None:
    assert list(PROFILES) == ["loopback", "LAN", "city", "ocean", "mobile", "satellite"]
    assert all(profile.source.endswith(".") for profile in PROFILES.values())
    delays = [profile.delay for profile in PROFILES.values()]
    assert delays[0] == 0
    assert delays[5] == max(delays)
    with Link(app, profile="ocean", jitter=0.0, bandwidth=5e6) as link:
        assert link.network == Network(PROFILES["ocean"].delay, 0.0, 5e6)


# Life


def test_a_link_is_listed_named_and_stopped_with_the_servers(app: Server) -> None:
    link = Link(app, profile="city")
    assert link in serving._servers
    assert repr(link) == f"<Link to app, city: running at {link.http}>"
    assert "wirelab link to app" in [thread.name for thread in threading.enumerate()]
    with request_open(link.port, get("/poll")) as sock:
        stop_all()
        with contextlib.suppress(ConnectionError):
            assert sock.recv(1) == b""
    assert not link.running
    assert is_free(link.port)
    assert repr(link) == "<Link to app, city: stopped>"


def test_two_hundred_links_leave_nothing_behind(app: Server) -> None:
    leftovers = Leftovers()
    for number in range(200):
        with Link(app, delay=0.001 * (number % 2)) as link, request_open(link.port, get("/")) as sock:
            if number % 3:
                sock.recv(100)
    leftovers.check()


def test_links_of_one_cell_stay_and_are_replaced_when_it_runs_again() -> None:
    with kernel() as notebook:
        notebook.run(
            "import requests, threading, time\nfrom wirelab import Link, serve, serving, stop_all\n"
            "from serving_support import rest, Gate\napp = rest(Gate())\n"
            "def names(): return [s.name for s in serving._servers]\nserver = serve(app)"
        )
        cell = (
            "links = [Link(server, delay=d) for d in (0.001, 0.002)] + [Link(server.http, profile='city')]\n"
            "print(names(), requests.get(links[0].http).text)"
        )
        expected = "['app', 'link to app, 1 ms', 'link to app, 2 ms', 'link to server.http, city'] hello\n"
        for _ in range(3):
            run = notebook.run(cell)
            assert (run.stdout, run.stderr) == (expected, "")
        assert notebook.run("other = Link(server, delay=0.003); print(len(names()))").stdout == "5\n"
        # A cell that waits behind a link is interrupted; the link goes on.
        waiting = notebook.start("links[0].freeze(); print('waits'); requests.get(links[0].http)")
        notebook.wait_for_output(waiting, "waits")
        assert notebook.interrupt(waiting).error.startswith("KeyboardInterrupt")
        assert notebook.run("links[0].thaw(); print(requests.get(links[0].http).text)").stdout == "hello\n"
        # From an async cell, on the notebook's own event loop.
        assert (
            notebook.run("links[0].reset()\nimport asyncio\nawait asyncio.sleep(0)\nprint('ok')").stdout == "ok\n"
        )
        threads = "print([t.name for t in threading.enumerate() if 'wirelab' in t.name], names())"
        notebook.run("stop_all()")
        assert notebook.run(threads).stdout == "[] []\n"
        link = notebook.run("link = Link(serve(app), delay=0.1); print(link.port)")
        notebook.manager.restart_kernel(now=True)
    assert is_free(int(link.stdout))


# A relay on a loop of one's own


def test_a_relay_runs_on_the_loop_of_a_check(sockets: Server) -> None:
    async def check() -> None:
        listener = listening_socket(0)
        async with Relay(listener, sockets.port, delay=0.005) as relay:
            assert relay.port == listener.getsockname()[1]
            assert relay.ws == f"ws://127.0.0.1:{relay.port}"
            async with connect_async(relay.ws, proxy=None) as connection:
                for fault in (relay.freeze, relay.thaw):
                    fault()
                    await connection.send("x")
                assert [await connection.recv() for _ in range(2)] == ["x", "x"]
                relay.refuse()
                with pytest.raises(OSError):  # noqa: PT011
                    await connect_async(relay.ws, proxy=None)
                relay.accept()
                relay.drop_after(1)
                await connection.send("y")
                # Not even the first frame was whole.
                with pytest.raises(ConnectionClosedError):
                    await connection.recv()
            async with connect_async(relay.ws, proxy=None) as connection:
                await connection.send("again")
                assert await connection.recv() == "again"
            assert relay.connections == 2
            kinds = [message.kind for message in relay.exchange().messages]
            assert kinds.count("frame") >= 4
        assert len(asyncio.all_tasks()) == 1

    async def with_deadline() -> None:
        async with asyncio.timeout(DEADLINE):
            await check()

    asyncio.run(with_deadline(), debug=True)


def test_a_relay_that_is_cancelled_leaves_nothing(sockets: Server) -> None:
    async def hang() -> None:
        async with Relay(None, sockets.http, profile="satellite") as relay:
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            writer.write(b"x")
            try:
                await reader.read()
            finally:
                writer.close()

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await hang()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_whole_packets_are_counted() -> None:
    assert [in_packets(count) for count in (0, 1, SEGMENT, SEGMENT + 1)] == [0, SEGMENT, SEGMENT, 2 * SEGMENT]
