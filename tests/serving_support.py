"""Programs and clients for the tests of `serve`: handlers that wait, flood or refuse to end; silent clients."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psutil
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.server import ServerConnection

DEADLINE = 10.0


class Gate:
    """What a handler tells its test, and the other way round."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()

    def wait_for_handlers(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.entered.acquire(timeout=DEADLINE), "no request reached its handler"

    def hold(self) -> None:
        """Block the thread until the test lets go."""
        self.entered.release()
        self.released.wait(DEADLINE)


def rest(gate: Gate) -> Starlette:
    """Return an ASGI application with every kind of handler that is hard to stop."""

    async def hello(request: Request) -> Response:
        return PlainTextResponse("hello")

    async def boom(request: Request) -> Response:
        raise ValueError("boom")

    async def lost(request: Request) -> Response:
        async def fail() -> None:
            raise LookupError("nobody awaited this")

        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        return PlainTextResponse("started")

    async def poll(request: Request) -> Response:
        gate.entered.release()
        await asyncio.Event().wait()
        return PlainTextResponse("never")

    def stuck(request: Request) -> Response:
        gate.hold()
        return PlainTextResponse("late")

    async def stubborn(request: Request) -> Response:
        await refuse_to_end(gate)
        return PlainTextResponse("late")

    async def blocking(request: Request) -> Response:
        gate.hold()
        return PlainTextResponse("late")

    async def events() -> AsyncIterator[bytes]:
        gate.entered.release()
        while True:
            yield b"data: tick\n\n"
            await asyncio.sleep(0.005)

    async def silence() -> AsyncIterator[bytes]:
        yield b": a comment\n\n"
        gate.entered.release()
        await asyncio.Event().wait()

    async def flood() -> AsyncIterator[bytes]:
        gate.entered.release()
        while True:
            yield bytes(1_000_000)
            # Without this the loop would never rest once its client has left.
            await asyncio.sleep(0)

    def stream(source: Callable[[], AsyncIterator[bytes]]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            return StreamingResponse(source(), media_type="text/event-stream")

        return endpoint

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        gate.entered.release()
        while True:
            await websocket.send_text(await websocket.receive_text())

    async def push(websocket: WebSocket) -> None:
        await websocket.accept()
        gate.entered.release()
        while True:
            await websocket.send_text("tick")
            await asyncio.sleep(0.005)

    async def push_flood(websocket: WebSocket) -> None:
        await websocket.accept()
        gate.entered.release()
        while True:
            await websocket.send_bytes(bytes(1_000_000))

    return Starlette(
        routes=[
            Route("/", hello, methods=["GET", "POST"]),
            Route("/boom", boom),
            Route("/lost", lost),
            Route("/poll", poll),
            Route("/stuck", stuck),
            Route("/stubborn", stubborn),
            Route("/blocking", blocking),
            Route("/events", stream(events)),
            Route("/silence", stream(silence)),
            Route("/flood", stream(flood)),
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/push", push),
            WebSocketRoute("/push-flood", push_flood),
        ]
    )


def handler(gate: Gate) -> Callable[[ServerConnection], Any]:
    """Return a websockets handler with the same kinds; the path chooses."""

    async def serve_one(connection: ServerConnection) -> None:
        assert connection.request
        match connection.request.path:
            case "/echo":
                gate.entered.release()
                async for message in connection:
                    await connection.send(message)
            case "/push":
                gate.entered.release()
                while True:
                    await connection.send("tick")
                    await asyncio.sleep(0.005)
            case "/push-flood":
                gate.entered.release()
                while True:
                    await connection.send(bytes(1_000_000))
            case "/poll":
                gate.entered.release()
                await asyncio.Event().wait()
            case "/stubborn":
                await refuse_to_end(gate)
            case "/blocking":
                gate.hold()
            case "/boom":
                raise ValueError("boom")

    return serve_one


async def refuse_to_end(gate: Gate) -> None:
    gate.entered.release()
    while not gate.released.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(DEADLINE)


hello = rest(Gate())


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def failing_echo(connection: ServerConnection) -> None:
    async for _ in connection:
        raise ValueError("boom")


def make_hello() -> Starlette:
    return rest(Gate())


@contextlib.contextmanager
def request_open(port: int, text: str) -> Iterator[socket.socket]:
    r"""Send the head of a request and keep the connection. Lines end in ``\n`` here."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as sock:
        sock.sendall(text.replace("\n", "\r\n").encode())
        yield sock


def get(path: str) -> str:
    return f"GET {path} HTTP/1.1\nHost: 127.0.0.1\n\n"


def upgrade(path: str) -> str:
    return (
        f"GET {path} HTTP/1.1\nHost: 127.0.0.1\nConnection: Upgrade\nUpgrade: websocket\n"
        "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"
    )


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        more = sock.recv(65536)
        assert more, f"the connection ended after {data!r}"
        data += more
    return data


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE} s: {what}"
        time.sleep(0.005)


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


class Leftovers:
    """Counts what servers leave behind in this process from now on."""

    def __init__(self) -> None:
        self._before = self._count()

    def _count(self) -> tuple[Counter[str], int, int]:
        gc.collect()
        process = psutil.Process()
        handles = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
        tasks = sum(isinstance(each, asyncio.Task) for each in gc.get_objects())
        return Counter(thread.name for thread in threading.enumerate()), handles, tasks

    def check(self) -> None:
        # What an earlier test has left may have gone in the meantime.
        (threads, handles, tasks), (threads_before, handles_before, tasks_before) = self._count(), self._before
        assert threads - threads_before == Counter()
        assert handles <= handles_before, f"{handles - handles_before} file handles are left"
        assert tasks <= tasks_before, f"{tasks - tasks_before} tasks are left"
