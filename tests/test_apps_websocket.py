"""The price stream over real sockets: what both versions do, the article's faults, and their repair."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from wirelab import Server, serve
from wirelab.apps import prices, prices_mended

INTERVAL = 0.02
VERSIONS = [pytest.param(prices, id="article"), pytest.param(prices_mended, id="mended")]


def served(version: ModuleType, *, interval: float = INTERVAL, options: Any = None, **parameters: float) -> Server:
    handler = functools.partial(version.price_stream, interval=interval, **parameters)
    return serve(handler, name=version.__name__, **(options or {}))


@pytest.fixture(params=VERSIONS)
def either(request: pytest.FixtureRequest) -> Iterator[Server]:
    with served(request.param) as server:
        yield server


@pytest.fixture
def article() -> Iterator[Server]:
    with served(prices) as server:
        yield server


@pytest.fixture
def mended() -> Iterator[Server]:
    with served(prices_mended, deadline=5.0) as server:
        yield server


def client(server: Server, **options: Any) -> ClientConnection:
    websocket: ClientConnection = connect(server.ws, proxy=None, **options)
    return websocket


def subscription(symbol: str = "ACME", token: str = "workshop") -> str:
    return json.dumps({"token": token, "symbol": symbol})


def update(websocket: ClientConnection) -> dict[str, Any]:
    received: dict[str, Any] = json.loads(websocket.recv(timeout=10))
    return received


def until_closed(websocket: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """Receive until the connection is closed; return what came and the close code."""
    received = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            received.append(update(websocket))
    return received, websocket.close_code


def refusal(server: Server, message: str | bytes) -> tuple[list[dict[str, Any]], int | None]:
    """Send a first message; return what came back and the close code."""
    with client(server) as websocket:
        websocket.send(message)
        return until_closed(websocket)


def assert_serves_the_next_client(server: Server) -> None:
    with client(server) as websocket:
        websocket.send(subscription())
        assert update(websocket)["symbol"] == "ACME"


def vanish(websocket: ClientConnection) -> None:
    """Reset the TCP connection without a close frame: what a killed client leaves."""
    websocket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The client library's thread holds the socket: only a shutdown ends it at once.
    websocket.socket.shutdown(socket.SHUT_RDWR)
    websocket.socket.close()


# Both versions


def test_prices_come_until_the_client_leaves(either: Server) -> None:
    with client(either) as websocket:
        websocket.send(subscription("ACME"))
        updates = [update(websocket) for _ in range(10)]
    assert {tuple(received) for received in updates} == {("symbol", "price")}
    assert {received["symbol"] for received in updates} == {"ACME"}
    drawn = [received["price"] for received in updates]
    assert all(isinstance(price, float) and 95 <= price <= 105 and round(price, 2) == price for price in drawn)
    assert len(set(drawn)) > 5


@pytest.mark.parametrize("version", VERSIONS)
def test_an_interval_lies_between_two_prices(version: ModuleType) -> None:
    with served(version, interval=0.2) as server, client(server) as websocket:
        websocket.send(subscription())
        update(websocket)
        began = time.perf_counter()
        for _ in range(3):
            update(websocket)
        assert 0.45 < time.perf_counter() - began < 5


@pytest.mark.parametrize("version", VERSIONS)
def test_the_defaults_are_the_article_s(version: ModuleType) -> None:
    assert version.price_stream.__kwdefaults__["interval"] == 3.0


@pytest.mark.parametrize(
    "message",
    [
        subscription(token="wrong"),
        subscription(token="wörkshop"),
        subscription(symbol=""),
        '{"token": "workshop"}',
        '{"symbol": "ACME"}',
        '{"token": ["workshop"], "symbol": "ACME"}',
        "{}",
    ],
)
def test_a_wrong_token_or_a_missing_symbol_is_one_error_and_a_close(either: Server, message: str) -> None:
    received, _ = refusal(either, message)
    assert [list(answer) for answer in received] == [["error"]]
    assert_serves_the_next_client(either)
    assert either.errors == []


@pytest.mark.parametrize("message", [b"\xff\xfe", "no json", '{"token": ', "[]", "null", "7", "[" * 100_000])
def test_a_malformed_message_ends_only_its_own_connection(either: Server, message: str | bytes) -> None:
    _, code = refusal(either, message)
    assert code in (1008, 1011)
    assert_serves_the_next_client(either)


def test_an_oversized_message_is_refused_as_too_big(either: Server) -> None:
    assert refusal(either, "x" * 2_000_000) == ([], 1009)
    assert_serves_the_next_client(either)
    assert either.errors == []


@pytest.mark.parametrize("half", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n"])
def test_half_a_handshake_holds_up_nobody(either: Server, half: bytes) -> None:
    with socket.create_connection(("127.0.0.1", either.port)) as sock:
        sock.sendall(half)
        assert_serves_the_next_client(either)
    assert_serves_the_next_client(either)
    assert either.errors == []


def test_plain_http_is_told_to_upgrade(either: Server) -> None:
    with socket.create_connection(("127.0.0.1", either.port), timeout=10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 426")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("subscribed", [True, False])
def test_vanished_clients_end_quietly_and_cost_the_others_nothing(version: ModuleType, subscribed: bool) -> None:
    served_now, raised = set(), []

    async def watched(websocket: ServerConnection) -> None:
        served_now.add(websocket)
        try:
            await version.price_stream(websocket, interval=INTERVAL)
        except Exception as exc:
            raised.append(exc)
        finally:
            served_now.discard(websocket)

    with serve(watched) as server, client(server) as healthy:
        healthy.send(subscription())
        for _ in range(10):
            with client(server) as websocket:
                if subscribed:
                    websocket.send(subscription())
                    update(websocket)
                vanish(websocket)
        for _ in range(5):
            update(healthy)
        assert_soon(lambda: len(served_now) == 1)
        assert raised == []


# The article's faults


def test_article_invents_a_price_for_each_connection(article: Server) -> None:
    with client(article) as one, client(article) as other:
        for websocket in (one, other):
            websocket.send(subscription())
        assert [update(one) for _ in range(4)] != [update(other) for _ in range(4)]


def test_article_waits_for_ever_for_a_first_message(article: Server) -> None:
    with client(article) as silent:
        with pytest.raises(TimeoutError):
            silent.recv(timeout=0.5)
        silent.send(subscription())
        assert "price" in update(silent)


def test_article_closes_after_an_error_as_if_all_were_well(article: Server) -> None:
    assert refusal(article, subscription(token="wrong")) == ([{"error": "Invalid token or missing symbol"}], 1000)


def test_article_fails_on_what_is_no_json_object(article: Server) -> None:
    assert refusal(article, "no json") == ([], 1011)
    assert refusal(article, "[]") == ([], 1011)
    assert [type(error) for error in article.errors] == [json.JSONDecodeError, AttributeError]


def test_article_cuts_off_a_healthy_client_that_talks() -> None:
    with (
        served(prices, options={"ping_interval": 0.2, "ping_timeout": 0.2}) as server,
        client(server, close_timeout=0.1) as websocket,
    ):
        talk(websocket)
        _, code = until_closed(websocket)
        assert (code, websocket.close_reason) == (1011, "keepalive ping timeout")


def test_article_notices_only_at_its_next_price_that_a_client_left() -> None:
    interval = 0.6
    with watched(prices, interval) as (server, ended):
        began = time.perf_counter()
        with client(server) as websocket:
            websocket.send(subscription())
            update(websocket)
        assert ended.wait(10)
        assert time.perf_counter() - began >= interval


# Their repair


def test_mended_sends_all_subscribers_of_a_symbol_the_same_prices_at_the_same_time() -> None:
    interval = 0.2
    with (
        served(prices_mended, interval=interval) as server,
        client(server) as early,
        client(server) as late,
        client(server) as other,
        ThreadPoolExecutor() as pool,
    ):
        other.send(subscription("OTHER"))
        early.send(subscription("ACME"))
        update(early)
        late.send(subscription("ACME"))
        seen = pool.map(arrivals, (early, late, other), (10, 5, 5))
        by_early, by_late, by_other = (dict(pairs) for pairs in seen)
    # Of 1,001 possible prices, a few are the same by chance.
    assert len(by_early.keys() & by_late.keys()) >= 4 > len(by_early.keys() & by_other.keys())
    lags = [abs(by_late[price] - by_early[price]) for price in by_early.keys() & by_late.keys()]
    assert statistics.median(lags) < interval / 2


def arrivals(websocket: ClientConnection, count: int) -> list[tuple[float, float]]:
    """Receive `count` prices; return each with the time at which it came."""
    return [(update(websocket)["price"], time.perf_counter()) for _ in range(count)]


def test_mended_closes_on_a_client_that_says_nothing() -> None:
    with served(prices_mended, deadline=0.3) as server, client(server) as silent:
        began = time.perf_counter()
        assert until_closed(silent) == ([{"error": "No subscription within 0.3 seconds"}], 1008)
        assert 0.25 < time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (subscription(token="wrong"), "Invalid token"),
        (subscription(token="wörkshop"), "Invalid token"),
        (b"\xff\xfe", "text"),
        (subscription().encode(), "text"),
        ("no json", "JSON object"),
        ("[]", "JSON object"),
        ("null", "JSON object"),
        ("[" * 100_000, "JSON object"),
        ('{"token": "workshop"}', "symbol"),
        ('{"token": 7, "symbol": "ACME"}', "token"),
        ('{"token": "workshop", "symbol": 7}', "symbol"),
        ('{"token": "workshop", "symbol": ""}', "symbol"),
        (r'{"token": "workshop", "symbol": "\ud800"}', "symbol"),
        (subscription(symbol="x" * 65), "symbol"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_mended_refuses_in_a_sentence_and_with_1008(mended: Server, message: str | bytes, words: str) -> None:
    [answer], code = refusal(mended, message)
    assert code == 1008
    assert words in answer["error"]
    assert_serves_the_next_client(mended)
    assert mended.errors == []


def test_mended_reads_on_while_a_client_talks() -> None:
    with served(prices_mended) as server, client(server) as websocket:
        talk(websocket)
        # The answer to a ping stands behind all messages that the server has not read yet.
        assert websocket.ping().wait(timeout=10)
        update(websocket)


def test_mended_notices_long_before_its_next_price_that_a_client_left() -> None:
    with watched(prices_mended, interval=60.0) as (server, ended):
        with client(server) as websocket:
            websocket.send(subscription())
        assert ended.wait(10)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_handler_or_thread_is_left_when_the_server_stops(version: ModuleType) -> None:
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        with served(version, interval=30.0) as server:
            clients = [stack.enter_context(client(server)) for _ in range(5)]
            for websocket in clients[1:]:
                websocket.send(subscription())
        for websocket in clients:
            assert until_closed(websocket)[1] == 1001
    assert server.errors == []
    assert_soon(lambda: threading.active_count() <= before)


def talk(websocket: ClientConnection) -> None:
    """Subscribe, then send more messages than a connection's queue holds: websockets keeps 16."""
    websocket.send(subscription())
    for number in range(64):
        websocket.send(f"message {number}")


@contextlib.contextmanager
def watched(version: ModuleType, interval: float) -> Iterator[tuple[Server, threading.Event]]:
    """Serve, with an event that is set when a handler ends."""
    ended = threading.Event()

    async def handler(websocket: ServerConnection) -> None:
        try:
            await version.price_stream(websocket, interval=interval)
        finally:
            ended.set()

    with serve(handler) as server:
        yield server, ended


def assert_soon(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
