"""What `wirelab/_engines.py` and `_background.py` need of uvicorn, websockets and asyncio without a promise.

A failure here means: read what changed in that library, and then the function that the message names.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from serving_support import Gate, echo, get, handler, hello, read_until, request_open, rest, upgrade
from websockets.asyncio.server import serve as serve_websocket

from wirelab._background import listening_socket
from wirelab._engines import engine_for

HINT = "{} has no {}; look at {} in wirelab"


def need(owner: Any, names: str, user: str) -> None:
    for name in names.split():
        assert hasattr(owner, name), HINT.format(owner, name, user)


def on_a_loop(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 10))  # type: ignore[arg-type]


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
def test_uvicorn(http: str, ws: str) -> None:
    for name in (http, ws.removesuffix("-sansio")):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"uvicorn does without {name} here")

    async def look() -> None:
        config = uvicorn.Config(hello, http=http, ws=ws, interface="asgi3", log_config=None)  # type: ignore[arg-type]
        config.load()
        need(config, "http_protocol_class ws_protocol_class lifespan_class is_ssl", "ASGIEngine.__init__")
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        need(server.lifespan, "logger startup shutdown", "ASGIEngine.start")
        with listening_socket(0) as sock:
            await server.startup(sockets=[sock])
            need(server, "servers server_state on_tick", "ASGIEngine.stop")
            need(server.server_state, "connections tasks", "ASGIEngine.stop")
            for text, end in ((get("/"), b"hello"), (upgrade("/echo"), b"\r\n\r\n")):
                with request_open(sock.getsockname()[1], text) as client:
                    await asyncio.to_thread(read_until, client, end)
                    (connection,) = server.server_state.connections
                    need(connection, "logger transport shutdown", "logging_to and ASGIEngine.stop")
                    kind = type(connection)
                    if http in kind.__module__:
                        need(connection, "access_log", "logging_to")
                    assert list(inspect.signature(kind).parameters) == [
                        "config",
                        "server_state",
                        "app_state",
                        "_loop",
                    ]
                    need(connection.transport, "get_write_buffer_size abort close is_closing", "close")
                    tasks = server.server_state.tasks
                    assert all(isinstance(task, asyncio.Task) for task in tasks), HINT.format(
                        tasks, "task", "ended"
                    )
                    connection.transport.abort()
                    await asyncio.sleep(0.01)
            for listener in server.servers:
                listener.close()
            await server.lifespan.shutdown()

    on_a_loop(look)


def test_uvicorn_ends_a_failed_start_with_system_exit() -> None:
    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError

    async def look() -> None:
        config = uvicorn.Config(refuses, lifespan="on", log_config=None)
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        with pytest.raises(SystemExit):
            await server.startup(sockets=[])

    on_a_loop(look)


def test_websockets() -> None:
    async def look() -> None:
        with listening_socket(0) as sock:
            server = await serve_websocket(echo, sock=sock)
            need(server, "close close_task handler_tasks all_connections", "WebSocketEngine.stop")
            with request_open(sock.getsockname()[1], upgrade("/")) as client:
                await asyncio.to_thread(read_until, client, b"\r\n\r\n")
                (connection,) = server.all_connections
                need(connection, "transport state request close", "WebSocketEngine")
                need(connection.transport, "get_write_buffer_size abort close", "close")
                (task,) = server.handler_tasks
                assert isinstance(task, asyncio.Task), HINT.format(task, "cancel", "WebSocketEngine.stop")
                server.close()
                assert isinstance(server.close_task, asyncio.Task), HINT.format(
                    server, "task", "WebSocketEngine.stop"
                )
            await server.wait_closed()

    on_a_loop(look)


def test_unknown_options_are_told_from_known_ones_by_signature() -> None:
    parameters = inspect.signature(serve_websocket).parameters
    assert {"process_request", "logger", "kwargs"} <= parameters.keys(), HINT.format(
        "serve", "kwargs", "refuse_unknown"
    )
    assert "ssl" in inspect.signature(asyncio.AbstractEventLoop.create_server).parameters


def test_asyncio_lists_its_transports() -> None:
    async def look() -> None:
        with listening_socket(0) as sock:
            server = await asyncio.start_server(lambda *_: None, sock=sock)
            _, writer = await asyncio.open_connection("127.0.0.1", sock.getsockname()[1])
            transports = getattr(asyncio.get_running_loop(), "_transports", None)
            if not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
                pytest.skip("this event loop leaves its open transports to the garbage collector")
            assert writer.transport in list(transports.values()), HINT.format("the loop", "_transports", "_leave")
            writer.transport.abort()
            server.close()

    on_a_loop(look)


@pytest.mark.parametrize(("program", "text"), [(rest, get("/stubborn")), (handler, upgrade("/stubborn"))])
def test_an_engine_closes_every_connection_by_itself(program: Callable[[Gate], Any], text: str) -> None:
    # Where the event loop keeps no list of transports, nobody else does.
    gate = Gate()

    async def look() -> None:
        with listening_socket(0) as sock:
            engine = engine_for(program(gate), pytest.fail, None, {})
            await engine.start(sock)
            with request_open(sock.getsockname()[1], text) as client:
                await asyncio.to_thread(gate.wait_for_handlers)
                await engine.stop()
                await asyncio.to_thread(client.makefile("rb").read)
            gate.released.set()

    on_a_loop(look)
