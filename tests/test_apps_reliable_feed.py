"""The reliable feed and its client over real sockets: rooms, resume, slow readers, heartbeats, and coming back."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from wirelab.apps import reliable_client, reliable_feed
from wirelab.apps.reliable_client import delay, stay_connected
from wirelab.apps.reliable_feed import HISTORY, OPTIONS, TOO_SLOW, Feed

DEADLINE = 20.0
# Seconds: what the client needs, made short.
QUICK = {"first_delay": 0.01, "max_delay": 0.1, "good_spell": 60.0, "heartbeat": 5.0}
# Bytes that fill whatever the system buffers for one connection, and more.
FLOOD = 12_000_000

Object = dict[str, Any]


def in_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run an asynchronous test, with a deadline."""

    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), DEADLINE))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@contextlib.asynccontextmanager
async def served(feed: Feed, port: int = 0, **options: Any) -> AsyncIterator[tuple[Server, str]]:
    async with serve(feed.handle, "127.0.0.1", port, **{**OPTIONS, **options}) as server:
        yield server, f"ws://127.0.0.1:{port_of(server)}"


def port_of(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


@contextlib.asynccontextmanager
async def greeted(uri: str, *messages: Object, **options: Any) -> AsyncIterator[ClientConnection]:
    """A client that was let in, and has sent these messages."""
    async with connect(uri, proxy=None, compression=None, close_timeout=0.2, **options) as websocket:
        await say(websocket, {"type": "hello", "token": "workshop"}, *messages)
        assert await receive(websocket) == {"type": "welcome"}
        yield websocket


async def say(websocket: ClientConnection, *messages: Object) -> None:
    for message in messages:
        await websocket.send(json.dumps(message))


async def receive(websocket: ClientConnection) -> Object:
    received: Object = json.loads(await websocket.recv())
    return received


def subscribe(symbol: str, after: int | None = None) -> Object:
    return {"type": "subscribe", "symbol": symbol} | ({} if after is None else {"after": after})


async def until_closed(websocket: ClientConnection) -> list[Object]:
    received = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            received.append(await receive(websocket))
    return received


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


# Rooms


@in_time
async def test_each_client_gets_what_it_asked_for_numbered_within_its_symbol() -> None:
    feed = Feed(["A", "B"], every=None)
    async with (
        served(feed) as (_, uri),
        greeted(uri, subscribe("A")) as one,
        greeted(uri, subscribe("A"), subscribe("B")) as both,
    ):
        a, b = feed.rooms["A"].seq, feed.rooms["B"].seq
        assert await receive(one) == {"type": "subscribed", "symbol": "A", "seq": a}
        assert [(await receive(both))["seq"] for _ in range(2)] == [a, b]
        for symbol in "ABAAB":
            feed.publish(symbol, price=99.5)
        assert [(await receive(both))["seq"] for _ in range(5)] == [a + 1, b + 1, a + 2, a + 3, b + 2]
        assert await receive(one) == {"type": "update", "symbol": "A", "seq": a + 1, "price": 99.5}
        assert [(await receive(one))["seq"] for _ in range(2)] == [a + 2, a + 3]
        await say(both, {"type": "unsubscribe", "symbol": "A"})
        assert await receive(both) == {"type": "unsubscribed", "symbol": "A"}
        feed.publish("A", price=1)
        feed.publish("B", price=2)
        assert (await receive(both))["symbol"] == "B"


@in_time
async def test_what_is_no_request_costs_an_error_and_nothing_else() -> None:
    feed = Feed(["A"], every=None)
    nonsense = [
        "",
        "[]",
        "7",
        "{}",
        '{"type": "publish"}',
        '{"type": "subscribe"}',
        '{"type": ["subscribe"]}',
        b"\xff",
    ]
    nonsense += [
        '{"type": "subscribe", "symbol": 7}',
        '{"type": "subscribe", "symbol": "A", "after": "7"}',
        "[" * 4000,
    ]
    async with served(feed) as (_, uri), greeted(uri, subscribe("A")) as websocket:
        await receive(websocket)
        for message in [*nonsense, json.dumps(subscribe("elsewhere"))]:
            await websocket.send(message)
            answer = await receive(websocket)
            assert answer.keys() == {"type", "error"}, message
            assert answer["type"] == "error"
            assert answer["error"]
        feed.publish("A")
        assert (await receive(websocket))["type"] == "update"


@pytest.mark.parametrize(
    "message",
    ["", "null", "{}", b"\xff", '{"type": "hello", "token": "wrong"}', '{"type": "subscribe", "symbol": "A"}'],
)
def test_who_does_not_greet_is_refused_with_1008(message: str | bytes) -> None:
    @in_time
    async def test() -> None:
        async with served(Feed(every=None)) as (_, uri), connect(uri, proxy=None) as websocket:
            await websocket.send(message)
            [answer] = await until_closed(websocket)
            assert answer["type"] == "error"
            assert websocket.close_code == 1008

    test()


def test_who_says_nothing_is_refused_with_1008(monkeypatch: pytest.MonkeyPatch) -> None:
    @in_time
    async def test() -> None:
        async with served(Feed(every=None)) as (_, uri), connect(uri, proxy=None) as websocket:
            [answer] = await until_closed(websocket)
            assert answer == {"type": "error", "error": "No greeting within 0.1 seconds"}
            assert websocket.close_code == 1008

    monkeypatch.setattr(reliable_feed, "DEADLINE", 0.1)
    test()


@in_time
async def test_one_producer_makes_prices_for_all() -> None:
    feed = Feed(["A", "B"], every=0.01)
    async with (
        served(feed) as (_, uri),
        greeted(uri, subscribe("A")) as one,
        greeted(uri, subscribe("A")) as other,
    ):
        both = [[await receive(websocket) for _ in range(12)] for websocket in (one, other)]
        prices = [{update["seq"]: update.get("price") for update in updates[1:]} for updates in both]
        common = prices[0].keys() & prices[1].keys()
        assert common
        assert all(prices[0][seq] == prices[1][seq] for seq in common)
        assert all(95 <= price <= 105 for price in prices[0].values())


# Resume


@in_time
async def test_what_came_after_a_number_is_sent_if_it_is_still_kept() -> None:
    feed = Feed(["A"], every=None, history=5)
    first = feed.rooms["A"].seq
    async with served(feed) as (_, uri):
        for _ in range(8):
            feed.publish("A")
        for after, start in [
            (first + 8, first + 8),
            (first + 6, first + 6),
            (first + 3, first + 3),
            # No longer kept: on with the oldest.
            (first + 2, first + 3),
            # Never heard of.
            (first + 9, first + 8),
            (None, first + 8),
        ]:
            async with greeted(uri, subscribe("A", after)) as websocket:
                assert (await receive(websocket))["seq"] == start
                numbers = [(await receive(websocket))["seq"] for _ in range(first + 8 - start)]
                assert numbers == list(range(start + 1, first + 9))


def test_a_new_run_counts_above_the_one_before_it() -> None:
    first = Feed(["A"], every=None).rooms["A"]
    for _ in range(3):
        first.publish({})
    asyncio.run(asyncio.sleep(0.02))
    assert Feed(["A"], every=None).rooms["A"].seq > first.seq


# Slow readers


@in_time
async def test_a_reader_that_stops_is_dropped_and_delays_nobody() -> None:
    feed = Feed(["A"], every=None, patience=0.3)
    async with (
        served(feed) as (server, uri),
        greeted(uri, subscribe("A"), max_queue=None) as healthy,
        greeted(uri, subscribe("A"), max_queue=1, ping_interval=None) as stopped,
    ):
        await receive(healthy)
        await receive(stopped)
        clients = set(server.connections)
        stopped.transport.pause_reading()
        note = "x" * 20_000
        for number in range(FLOOD // len(note)):
            feed.publish("A", number=number, note=note)
            assert (await receive(healthy))["number"] == number
        assert all(client.transport.get_write_buffer_size() < 100_000 for client in server.connections)
        # Closing, but not yet cut off.
        await until(lambda: any(client.state is State.CLOSING for client in clients))
        stopped.transport.resume_reading()
        received = await until_closed(stopped)
        assert stopped.close_code == TOO_SLOW
        assert [update["number"] for update in received] == list(range(len(received)))
        await until(lambda: len(server.connections) == 1)
        assert not feed._behind


@in_time
async def test_a_reader_that_never_goes_on_is_cut_off() -> None:
    feed = Feed(["A"], every=None, patience=0.1)
    async with served(feed) as (server, uri), greeted(uri, subscribe("A"), max_queue=1) as stopped:
        await receive(stopped)
        stopped.transport.pause_reading()
        for _ in range(FLOOD // 100_000):
            feed.publish("A", note="x" * 100_000)
            await asyncio.sleep(0)
        await until(lambda: not server.connections)


@in_time
async def test_a_reader_that_lags_gets_everything_from_the_history() -> None:
    feed = Feed(["A"], every=None)
    async with served(feed) as (_, uri), greeted(uri, subscribe("A"), max_queue=1) as lagging:
        await receive(lagging)
        lagging.transport.pause_reading()
        count = FLOOD // 20_000
        assert count < HISTORY
        for number in range(count):
            feed.publish("A", number=number, note="x" * 20_000)
            await asyncio.sleep(0)
        assert not feed.rooms["A"].live
        lagging.transport.resume_reading()
        assert [(await receive(lagging))["number"] for _ in range(count)] == list(range(count))
        await until(lambda: feed.rooms["A"].live)
        feed.publish("A", number=-1)
        assert (await receive(lagging))["number"] == -1


@in_time
async def test_a_reader_that_falls_out_of_the_history_is_dropped() -> None:
    feed = Feed(["A"], every=None, history=10)
    async with served(feed) as (_, uri), greeted(uri, subscribe("A"), max_queue=1) as lagging:
        await receive(lagging)
        lagging.transport.pause_reading()
        for number in range(FLOOD // 20_000):
            feed.publish("A", number=number, note="x" * 20_000)
            await asyncio.sleep(0)
        lagging.transport.resume_reading()
        received = await until_closed(lagging)
        assert lagging.close_code == TOO_SLOW
        assert [update["number"] for update in received] == list(range(len(received)))


@in_time
async def test_who_leaves_a_room_while_behind_gets_no_more_of_it() -> None:
    feed = Feed(["A"], every=None)
    async with served(feed) as (_, uri), greeted(uri, subscribe("A"), max_queue=1) as lagging:
        await receive(lagging)
        lagging.transport.pause_reading()
        for number in range(FLOOD // 20_000):
            feed.publish("A", number=number, note="x" * 20_000)
            await asyncio.sleep(0)
        await say(lagging, {"type": "unsubscribe", "symbol": "A"})
        await until(lambda: not feed._behind)
        lagging.transport.resume_reading()
        while (await receive(lagging))["type"] != "unsubscribed":
            pass
        feed.publish("A")
        await say(lagging, {"type": "unsubscribe", "symbol": "A"})
        assert (await receive(lagging))["type"] == "unsubscribed"


# Heartbeats


@in_time
async def test_a_client_that_froze_is_noticed() -> None:
    feed = Feed(["A"], every=None)
    options = {"ping_interval": 0.1, "ping_timeout": 0.1, "close_timeout": 0.1}
    async with served(feed, **options) as (server, uri), greeted(uri, subscribe("A")) as frozen:
        await receive(frozen)
        frozen.transport.pause_reading()
        await until(lambda: not feed.rooms["A"].live)
        assert not server.connections


# The client


@contextlib.asynccontextmanager
async def following(uri: str, symbols: list[str], **options: Any) -> AsyncIterator[list[Object]]:
    """What a client yields, as it comes."""
    got: list[Object] = []

    async def follow() -> None:
        async for message in stay_connected(uri, "workshop", symbols, **{**QUICK, **options}):
            got.append(message)

    task = asyncio.create_task(follow())
    try:
        yield got
    finally:
        task.cancel()
        await asyncio.wait([task])


@in_time
async def test_the_caller_sees_every_update_once_through_cuts_of_all_kinds() -> None:
    feed = Feed(["A", "B"], every=None)
    first = {symbol: room.seq for symbol, room in feed.rooms.items()}
    live = feed.rooms["B"].live

    async def publish_around(cut: Callable[[ServerConnection], object]) -> None:
        [connection] = live
        for symbol in "ABAAB":
            feed.publish(symbol)
        cut(connection)
        for symbol in "BBA":
            feed.publish(symbol)
        await until(lambda: live - {connection})
        # A frozen one stays: the feed cannot know yet that nobody is there.
        await until(lambda: len(live) == 1 or not connection.transport.is_reading())

    closing: list[asyncio.Task[None]] = []
    async with served(feed) as (_, uri), following(uri, ["A", "B"], heartbeat=0.2) as got:
        await until(lambda: live)
        await publish_around(lambda connection: connection.transport.abort())
        await publish_around(lambda connection: closing.append(asyncio.create_task(connection.close(1012))))
        # The client takes it for dead, as no answer to its pings is sent.
        await publish_around(lambda connection: connection.transport.pause_reading())
        feed.publish("A")
        await until(lambda: len(got) >= 3 * 8 + 1)
        for symbol, count in (("A", 13), ("B", 12)):
            numbers = [message["seq"] for message in got if message["symbol"] == symbol]
            assert numbers == list(range(first[symbol] + 1, first[symbol] + 1 + count))


@in_time
async def test_the_caller_is_told_of_a_gap_and_of_a_feed_that_was_started_anew() -> None:
    feed = Feed(["A"], every=None, history=2)
    async with served(feed) as (server, uri):
        port = port_of(server)
        async with following(uri, ["A"]) as got:
            await until(lambda: feed.rooms["A"].live)
            last = feed.publish("A")
            await until(lambda: len(got) == 1)
            next(iter(server.connections)).transport.abort()
            for _ in range(4):
                feed.publish("A")
            await until(lambda: len(got) == 4)
            assert got[1] == {"type": "gap", "symbol": "A", "after": last, "seq": last + 2}
            assert [message["seq"] for message in got[2:]] == [last + 3, last + 4]

            server.close(code=1012)
            await server.wait_closed()
            anew = Feed(["A"], every=None)
            start = anew.rooms["A"].seq
            async with served(anew, port):
                await until(lambda: len(got) == 5)
                assert got[4] == {"type": "gap", "symbol": "A", "after": last + 4, "seq": start}
                await until(lambda: anew.rooms["A"].live)
                anew.publish("A")
                await until(lambda: len(got) == 6)
                assert got[5]["seq"] == start + 1


@in_time
async def test_a_refusal_raises_and_ends_it() -> None:
    async with served(Feed(every=None)) as (_, uri):
        with pytest.raises(PermissionError, match="Invalid token"):
            await anext(stay_connected(uri, "wrong", ["ACME"], **QUICK))


@in_time
async def test_what_never_mends_raises_instead_of_being_tried_for_ever() -> None:
    async with served(Feed(["ACME"], every=None)) as (_, uri):
        with pytest.raises(ValueError, match="There is no 'acme' here"):
            await anext(stay_connected(uri, "workshop", ["ACME", "acme"], **QUICK))
        with pytest.raises(ValueError, match="begins with ws://"):
            await anext(stay_connected(uri.removeprefix("ws://"), "workshop", ["ACME"], **QUICK))

    def nowhere(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(404, "")

    async with served(Feed(every=None), process_request=nowhere) as (_, uri):
        with pytest.raises(PermissionError, match="404"):
            await anext(stay_connected(uri, "workshop", ["ACME"], **QUICK))


@in_time
async def test_a_refusal_that_mends_is_tried_again_and_said_once_each_time() -> None:
    said: list[str] = []
    statuses = [503, 429, 503]

    def busy(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(statuses.pop(), "") if statuses else None

    feed = Feed(["A"], every=None)
    live = feed.rooms["A"].live
    async with (
        served(feed, process_request=busy) as (_, uri),
        following(uri, ["A"], away=lambda: said.append("away")) as got,
    ):
        await until(lambda: live)
        feed.publish("A")
        await until(lambda: got)
        assert said == ["away"]
        next(iter(live)).transport.abort()
        await until(lambda: len(said) == 2)


def test_delays_are_drawn_below_a_bound_that_doubles() -> None:
    draws = [[delay(failures, 0.5, 8.0) for _ in range(400)] for failures in range(1, 9)]
    bounds = [0.5, 1, 2, 4, 8, 8, 8, 8]
    for drawn, bound in zip(draws, bounds, strict=True):
        assert 0.9 * bound < max(drawn) <= bound
        assert min(drawn) < 0.1 * bound
    assert delay(5000) <= reliable_client.MAX_DELAY


@in_time
async def test_delays_begin_anew_after_a_good_spell_only() -> None:
    asked: list[int] = []

    def note(failures: int, first: float, longest: float) -> float:
        asked.append(failures)
        return 0.0

    feed = Feed(["A"], every=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reliable_client, "delay", note)
        async with served(feed) as (_, uri), following(uri, ["A"], good_spell=1.0):
            live = feed.rooms["A"].live
            for failures in (1, 2, 3):
                await until(lambda: live)
                [connection] = live
                connection.transport.abort()
                await until(lambda: len(live) == 1 and connection not in live)  # noqa: B023
                assert asked[-1] <= failures
            await asyncio.sleep(1.05)
            next(iter(live)).transport.abort()
            await until(lambda: len(asked) == 4)
    assert asked[-1] == 1
    assert asked[1] > asked[0]


# From a shell

APPS = Path(__file__).parent.parent / "wirelab" / "apps"
COMMAND = [sys.executable, "-m", "wirelab.apps.reliable_feed", "--port", "0", "--every", "0.02"]


def test_the_programs_import_nothing_of_the_kit() -> None:
    allowed = {*sys.stdlib_module_names, "pydantic", "websockets"}
    for name in ("reliable_feed", "reliable_client"):
        nodes = list(ast.walk(ast.parse((APPS / f"{name}.py").read_text("utf-8"))))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
        assert {found.partition(".")[0] for found in names} <= allowed


@contextlib.contextmanager
def started(*command: str) -> Any:
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_feed_and_client_run_from_a_shell() -> None:
    with started(*COMMAND, "ACME", "INIT") as feed:
        assert feed.stdout
        match = re.search(r"Prices of ACME, INIT at (ws://127\.0\.0\.1:\d+)", feed.stdout.readline())
        assert match
        client = [sys.executable, "-u", "-m", "wirelab.apps.reliable_client", "--uri", match[1]]
        refused = subprocess.run([*client, "--token", "x", "ACME"], text=True, capture_output=True, timeout=30)
        assert (refused.returncode, refused.stderr) == (1, "Error: Invalid token\n")
        unknown = subprocess.run([*client, "acme"], text=True, capture_output=True, timeout=30)
        assert (unknown.returncode, unknown.stderr) == (1, "Error: There is no 'acme' here\n")
        with started(*client, "ACME") as follower:
            assert follower.stdout
            assert all(re.fullmatch(r"ACME: \d+\.\d\d\n", follower.stdout.readline()) for _ in range(3))
            feed.send_signal(signal.SIGTERM)
            output, _ = feed.communicate(timeout=20)
            assert (feed.returncode, output) == (0, "")
            assert "no connection" in next(line for line in follower.stdout if not line.startswith("ACME"))
            follower.send_signal(signal.SIGINT)
            output, _ = follower.communicate(timeout=20)
            assert "Traceback" not in output


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [*COMMAND[:4], str(taken.getsockname()[1])]
        run = subprocess.run(command, text=True, capture_output=True, timeout=30)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
