"""Servers stop in a moment, whatever their clients and handlers do, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from serving_support import (
    DEADLINE,
    Gate,
    Leftovers,
    echo,
    get,
    handler,
    hello,
    is_free,
    read_until,
    request_open,
    rest,
    upgrade,
    wait_until,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from wirelab import Server, _background, _engines, serve, serving, stop_all

# Seconds. A stop takes some 25 ms; plain uvicorn takes for ever with most of these, this machine may be busy.
SOON = 1.0


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.released.set()
    stop_all()


def stop_soon(server: Server) -> None:
    begin = time.perf_counter()
    server.stop()
    assert time.perf_counter() - begin < SOON
    assert not server.running
    assert is_free(server.port)
    assert server not in serving._servers


def close_code(client: ClientConnection) -> int | None:
    try:
        while True:
            client.recv(DEADLINE)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


# Each opens a connection, and says how many handlers it keeps busy.
HALF_A_REQUEST = "GET / HTTP/1.1\nHost: 127.0.0.1\n"
HALF_A_BODY = "POST / HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 100\n\nonly this"
HELD_BY_REST = {
    "nothing sent": ("", 0),
    "half a request": (HALF_A_REQUEST, 0),
    "half a body": (HALF_A_BODY, 0),
    "keep-alive": (get("/"), 0),
    "long poll": (get("/poll"), 1),
    "events": (get("/events"), 1),
    "silent stream": (get("/silence"), 1),
    "stalled reader": (get("/flood"), 1),
    "stuck def": (get("/stuck"), 1),
    "stubborn async def": (get("/stubborn"), 1),
    "WebSocket, no answer to the close": (upgrade("/echo"), 1),
    "WebSocket pushing, no answer": (upgrade("/push"), 1),
    "WebSocket, stalled reader": (upgrade("/push-flood"), 1),
}
HELD_BY_HANDLER = {
    "nothing sent": ("", 0),
    "half a handshake": (HALF_A_REQUEST, 0),
    "no answer to the close": (upgrade("/echo"), 1),
    "pushing, no answer": (upgrade("/push"), 1),
    "stalled reader": (upgrade("/push-flood"), 1),
    "waiting for ever": (upgrade("/poll"), 1),
    "stubborn": (upgrade("/stubborn"), 1),
}
HELD = [pytest.param(rest, *held, id=f"rest, {name}") for name, held in HELD_BY_REST.items()]
HELD += [pytest.param(handler, *held, id=f"handler, {name}") for name, held in HELD_BY_HANDLER.items()]


@pytest.mark.parametrize(("program", "request_text", "handlers"), HELD)
def test_stops_with_open_connections(
    gate: Gate, program: Callable[[Gate], Any], request_text: str, handlers: int
) -> None:
    server = serve(program(gate))
    with contextlib.ExitStack() as clients:
        held = [clients.enter_context(request_open(server.port, request_text)) for _ in range(3)]
        gate.wait_for_handlers(3 * handlers)
        for sock in held:
            if request_text == get("/"):
                read_until(sock, b"hello")
        stop_soon(server)
        # Every client learns of it: its connection ends, in order or by a reset.
        for sock in held:
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(1_000_000):
                    pass
    assert server.errors == []


@pytest.mark.parametrize(("program", "code"), [(rest, 1012), (handler, 1001)], ids=["rest", "handler"])
@pytest.mark.parametrize("path", ["/echo", "/push"])
def test_websocket_clients_see_a_close_code(
    gate: Gate, program: Callable[[Gate], Any], code: int, path: str
) -> None:
    server = serve(program(gate))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server.ws + path, proxy=None)) for _ in range(20)]
        gate.wait_for_handlers(20)
        stop_soon(server)
        for client in clients:
            assert close_code(client) == code
    assert server.errors == []


def test_a_request_that_is_nearly_done_gets_its_answer() -> None:
    entered = threading.Event()

    async def nearly_done(request: Request) -> Response:
        entered.set()
        await asyncio.sleep(_engines.GRACE / 4)
        return PlainTextResponse("done")

    server = serve(Starlette(routes=[Route("/", nearly_done)]))
    with request_open(server.port, get("/")) as sock:
        assert entered.wait(DEADLINE)
        server.stop()
        assert sock.makefile("rb").read().endswith(b"done")


def test_cancels_what_waits_and_lets_it_clean_up(gate: Gate) -> None:
    cleaned_up = threading.Event()

    async def waits(connection: ServerConnection) -> None:
        gate.entered.release()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned_up.set()

    server = serve(waits)
    with request_open(server.port, upgrade("/")):
        gate.wait_for_handlers()
        stop_soon(server)
    assert cleaned_up.is_set()


def test_tasks_that_handlers_have_started_end_too() -> None:
    ended = threading.Event()
    tasks = []

    async def background() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def spawns(connection: ServerConnection) -> None:
        tasks.append(asyncio.create_task(background()))
        await connection.send("started")

    server = serve(spawns)
    with connect(server.ws, proxy=None) as websocket:
        websocket.recv(DEADLINE)
        stop_soon(server)
    assert ended.is_set()


def test_connections_that_handlers_have_made_end_too(gate: Gate) -> None:
    kept: list[Any] = []

    async def calls(connection: ServerConnection) -> None:
        kept.extend(await asyncio.open_connection("127.0.0.1", listener.getsockname()[1]))
        await connection.send("connected")

    server = serve(calls)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with connect(server.ws, proxy=None) as websocket:
            websocket.recv(DEADLINE)
        conn, _ = listener.accept()
        with conn:
            stop_soon(server)
            conn.settimeout(DEADLINE)
            with contextlib.suppress(ConnectionResetError):
                assert conn.recv(1) == b""


def test_what_refuses_to_end_does_not_complain_later(monkeypatch: Any) -> None:
    complaints: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    for program, request_text in ((rest, get("/stubborn")), (handler, upgrade("/stubborn"))):
        # A gate of its own that stays shut: nothing but the stop ends this handler.
        gate = Gate()
        server = serve(program(gate))
        with request_open(server.port, request_text):
            gate.wait_for_handlers()
            stop_soon(server)
        del server
        gc.collect()
    assert complaints == []


def test_a_handler_that_blocks_the_event_loop_is_named(gate: Gate, monkeypatch: Any) -> None:
    monkeypatch.setattr(_background, "STOP_DEADLINE", 0.1)
    line = next(
        number
        for number, text in enumerate(Path(__file__).with_name("serving_support.py").read_text().splitlines(), 1)
        if "self.released.wait(DEADLINE)" in text
    )
    for program, request_text in ((rest, get("/blocking")), (handler, upgrade("/blocking"))):
        gate.released.clear()
        server = serve(program(gate))
        with request_open(server.port, request_text):
            gate.wait_for_handlers()
            with pytest.warns(
                RuntimeWarning, match=rf"blocks its event loop at .*serving_support.py, line {line}: "
            ):
                server.stop()
            # It is still there, so that the port's next user is told by whom it is taken.
            assert server.running
            assert server in serving._servers
            gate.released.set()
            server._runner._thread.join(DEADLINE)  # type: ignore[union-attr]
            assert not server.running
        stop_soon(server)


def test_stops_from_within_its_own_handlers(gate: Gate) -> None:
    async def stop_async(request: Request) -> Response:
        server.stop()
        return PlainTextResponse("bye")

    def stop_in_thread(request: Request) -> Response:
        server.stop()
        return PlainTextResponse("bye")

    for endpoint in (stop_async, stop_in_thread):
        server = serve(Starlette(routes=[Route("/", endpoint)]))
        begin = time.perf_counter()
        with contextlib.suppress(requests.ConnectionError):
            answer = requests.get(server.http, timeout=DEADLINE)
            # Of its own loop's making, the answer still leaves; a worker thread would wait for itself.
            assert answer.text == "bye" or endpoint is stop_in_thread
        server._runner._thread.join(DEADLINE)  # type: ignore[union-attr]
        assert not server.running
        assert time.perf_counter() - begin < SOON

    async def stop_websocket(connection: ServerConnection) -> None:
        server.stop()
        stop_all()

    server = serve(stop_websocket)
    with connect(server.ws, proxy=None) as websocket, pytest.raises(ConnectionClosed):
        websocket.recv(DEADLINE)
    wait_until(lambda: not server.running, "the server has stopped")


def test_stopping_twice_does_nothing() -> None:
    server = serve(hello)
    server.stop()
    stop_soon(server)
    stop_all()


def test_stop_all_stops_all_at_once(gate: Gate) -> None:
    servers = [serve(rest(gate)) for _ in range(10)] + [serve(handler(gate)) for _ in range(10)]
    with contextlib.ExitStack() as clients:
        for server in servers:
            clients.enter_context(request_open(server.port, upgrade("/push")))
        gate.wait_for_handlers(20)
        begin = time.perf_counter()
        stop_all()
        assert time.perf_counter() - begin < SOON
    assert serving._servers == []
    assert not any(server.running for server in servers)


def test_a_with_block_stops_when_it_raises() -> None:
    with pytest.raises(KeyError), serve(hello) as server:
        raise KeyError
    assert not server.running


def test_handlers_end_before_the_shutdown_code_runs(gate: Gate) -> None:
    order: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        order.append("shutdown code")

    async def waits(request: Request) -> Response:
        gate.entered.release()
        try:
            await asyncio.Event().wait()
        finally:
            order.append("handler")
        return Response()

    server = serve(Starlette(routes=[Route("/", waits)], lifespan=lifespan))
    with request_open(server.port, get("/")):
        gate.wait_for_handlers()
        stop_soon(server)
    assert order == ["handler", "shutdown code"]


def lifespan_app(shutdown: Callable[[], Any]) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await shutdown()

    return Starlette(lifespan=lifespan)


def test_shutdown_code_gets_its_time() -> None:
    done = threading.Event()

    async def slow() -> None:
        await asyncio.sleep(0.3)
        done.set()

    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error")
        patch.setattr(_background, "STOP_DEADLINE", 0.05)
        serve(lifespan_app(slow)).stop()
    assert done.is_set()


def test_shutdown_code_that_fails_or_never_ends_is_an_error(monkeypatch: Any) -> None:
    async def fails() -> None:
        raise ValueError("cannot save")

    server = serve(lifespan_app(fails))
    server.stop()
    assert [repr(error) for error in server.errors] == ["ValueError('cannot save')"]

    monkeypatch.setattr(_engines, "LIFESPAN_GRACE", 0.1)
    server = serve(lifespan_app(lambda: asyncio.Event().wait()))
    stop_soon(server)
    assert str(server.errors[0]) == "the shutdown code took more than 0.1 s and was cut off"


@pytest.mark.parametrize(
    ("program", "text"), [(rest, get("/stubborn")), (rest, get("/poll")), (handler, upgrade("/stubborn"))]
)
def test_the_connections_of_handlers_that_are_cut_off_end_in_order(
    gate: Gate, program: Callable[[Gate], Any], text: str
) -> None:
    server = serve(program(gate))
    with request_open(server.port, text) as sock:
        gate.wait_for_handlers()
        stop_soon(server)
        # Were the connection reset, this would raise.
        sock.makefile("rb").read()


def test_a_connection_that_is_closing_already_costs_the_others_nothing(gate: Gate) -> None:
    # This client reads nothing, so its connection cannot finish closing: uvicorn's shutdown of it raises.
    closing_frame = b"\x88\x80\x00\x00\x00\x00"
    server = serve(rest(gate))
    connections = server._runner._engine.server.server_state.connections  # type: ignore[union-attr]
    with request_open(server.port, upgrade("/push-flood")) as sock:
        gate.wait_for_handlers()
        sock.sendall(closing_frame)
        wait_until(lambda: all(c.transport.is_closing() for c in connections), "the server knows of the closing")
        with connect(server.ws + "/echo", proxy=None) as staying:
            gate.wait_for_handlers()
            assert len(connections) == 2
            stop_soon(server)
            assert close_code(staying) == 1012
    assert server.errors == []


def test_a_client_that_leaves_while_the_server_stops_costs_the_others_nothing(gate: Gate) -> None:
    for _ in range(10):
        server = serve(rest(gate))
        with contextlib.ExitStack() as stack:
            leaving = [stack.enter_context(connect(server.ws + "/echo", proxy=None)) for _ in range(3)]
            staying = stack.enter_context(connect(server.ws + "/echo", proxy=None))
            gate.wait_for_handlers(4)
            closing = [threading.Thread(target=client.close) for client in leaving]
            for thread in closing:
                thread.start()
            stop_soon(server)
            for thread in closing:
                thread.join(DEADLINE)
            assert close_code(staying) == 1012
        assert server.errors == []


def test_500_starts_and_stops_leave_nothing() -> None:
    def cycle(app: Any) -> None:
        with serve(app):
            pass

    for app in (hello, echo):
        cycle(app)
    left = Leftovers()
    for _ in range(250):
        cycle(hello)
        cycle(echo)
    left.check()


def test_starts_and_stops_with_clients_leave_nothing(gate: Gate) -> None:
    def cycle() -> None:
        for program, texts in ((rest, HELD_BY_REST), (handler, HELD_BY_HANDLER)):
            server = serve(program(gate))
            with contextlib.ExitStack() as clients:
                for name, (text, handlers) in texts.items():
                    # A worker thread ends when its handler does, and a task that refuses to end with its loop.
                    if "stuck" not in name and "stubborn" not in name:
                        clients.enter_context(request_open(server.port, text))
                        gate.wait_for_handlers(handlers)
                server.stop()

    cycle()
    left = Leftovers()
    for _ in range(5):
        cycle()
    left.check()
