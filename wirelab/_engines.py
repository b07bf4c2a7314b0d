"""How one application runs on one event loop: uvicorn for ASGI, websockets for handlers.

An engine starts on a socket that is already bound, and stops within a few dozen milliseconds whatever its
clients and handlers do. uvicorn's own shutdown waits for its clients, so this module drives uvicorn's start-up
and shutdown from inside; ``tests/test_serving_engines.py`` notices when what it needs of them changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected
from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.protocol import State

# Seconds that open connections get to end by themselves, then once more after they were cancelled.
GRACE = 0.02
# Seconds that an application's own shutdown code (its lifespan) may take.
LIFESPAN_GRACE = 2.0

# What an ASGI handler raises when its client has left: the end of every stream, and no fault of the handler.
CLIENT_LEFT = (WebSocketDisconnect, ClientDisconnect, ClientDisconnected)
# What counts as a handler's fault. Being cancelled does not; sys.exit() in a handler does.
FAULTS = (Exception, SystemExit, KeyboardInterrupt)

# Loggers from logging.getLogger are the whole process's: what they print reaches whichever cell is running.
SILENT = logging.Logger("wirelab.silent", logging.CRITICAL + 1)

# uvicorn takes a method for the old kind of application, ASGI 2, unless it is told.
# h11, because uvicorn would take httptools wherever that happens to be: other bytes on the wire, other times.
UVICORN_DEFAULTS = {"interface": "asgi3", "http": "h11", "log_config": None, "timeout_keep_alive": 75}

Record = Callable[[BaseException], None]
Handler = Callable[[ServerConnection], Awaitable[None]]


class StartFailed(Exception):
    """The application did not start; the text says why and what to do, the cause is what it raised."""


class Engine(Protocol):
    """One application on one event loop."""

    scheme_suffix: str  # "" or "s", as in http and https

    async def start(self, sock: socket.socket) -> None:
        """Serve on a bound socket. Raise `StartFailed` when the application does not start."""

    async def tick(self) -> None:
        """Do what has to be done once a second."""

    async def stop(self) -> None:
        """Close the listening socket and every connection, cancel what is left."""


def engine_for(app: Any, record: Record, log: logging.Logger | None, options: dict[str, Any]) -> Engine:
    """Choose the engine by the number of arguments that the application takes.

    Three, ``(scope, receive, send)``, is ASGI; one, the connection, is a websockets handler, if it is async: a
    plain function that takes one is more likely to make an application, with an option.

    Args:
        app: the application.
        record: called on the event loop with each exception that a handler raises.
        log: gets a line for each request or connection.
        options: for `uvicorn.Config` or `websockets.asyncio.server.serve`.

    Raises:
        StartFailed: the application is neither, or the options do not suit the engine.
    """
    if takes(app, 3) and not inspect.isclass(app):
        return ASGIEngine(app, record, log, options)
    if takes(app, 1) and is_async(app) and not inspect.isclass(app):
        return WebSocketEngine(app, record, log, options)
    raise StartFailed(f"{describe(app)} is neither an ASGI application nor a WebSocket handler, so {remedy(app)}")


def takes(app: Any, count: int) -> bool:
    """Whether `app` can be called with `count` positional arguments."""
    try:
        inspect.signature(app).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True


def is_async(app: Any) -> bool:
    """Whether calling `app` gives something to await, as far as that can be told beforehand.

    A lambda cannot say so. It is believed where it needs its argument.
    """
    inner = inspect.unwrap(app)
    while isinstance(inner, functools.partial):
        inner = inner.func
    if getattr(inner, "__name__", "") == "<lambda>":
        return not takes(app, 0)
    return any(inspect.iscoroutinefunction(each) for each in (inner, getattr(inner, "__call__", None)))  # noqa: B004


def describe(app: Any) -> str:
    """Name a value as its author would."""
    name = getattr(app, "__qualname__", None)
    if name is None:
        return f"an object of type {type(app).__name__}"
    return str(name) if inspect.isclass(app) else f"{name}()"


def remedy(app: Any) -> str:
    """Say what to hand over instead."""
    if inspect.isclass(app):
        return f"hand over an instance, serve({app.__name__}())"
    if inspect.iscoroutine(app):
        # Nobody will await it, and Python is not to complain of that into some cell.
        app.close()
        return "leave out the parentheses"
    if takes(app, 0):
        return "if it makes the application, call it first, or add factory=True"
    if takes(app, 1) and inspect.isroutine(app):
        return "if it is a handler, write async def instead of def; if it makes the application, call it first"
    return "hand over a FastAPI or Starlette object, or an async function with one argument, the connection"


class ASGIEngine:
    """An ASGI application on uvicorn."""

    def __init__(self, app: Any, record: Record, log: logging.Logger | None, options: dict[str, Any]) -> None:
        self.app = app
        self.record = record
        self.log = log
        self.lifespan_error: BaseException | None = None
        refuse_unknown(options, "uvicorn.Config", uvicorn.Config)
        try:
            self.config = uvicorn.Config(self.serve, **{**UVICORN_DEFAULTS, **options})
            self.config.load()
            send_no_tickets(self.config.ssl)
        except (Exception, SystemExit) as exc:
            raise StartFailed(f"uvicorn cannot use its options ({exc!r}), so mend those") from exc
        logger = logging.Logger("wirelab.uvicorn", logging.ERROR)
        logger.addHandler(Recording(record, exceptions=False))
        self.config.http_protocol_class = logging_to(logger, self.config.http_protocol_class)
        self.config.ws_protocol_class = logging_to(logger, self.config.ws_protocol_class)
        self.scheme_suffix = "s" if self.config.is_ssl else ""
        self.server = uvicorn.Server(self.config)

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on to the application, and keep what it raises."""
        try:
            await self.app(scope, receive, logged(scope, send, self.log) if self.log else send)
        except CLIENT_LEFT:
            raise
        except FAULTS as exc:
            if scope["type"] == "lifespan":
                # No error yet: an application may refuse lifespans. uvicorn decides.
                self.lifespan_error = exc
            else:
                self.record(exc)
            raise

    async def start(self, sock: socket.socket) -> None:
        """See `Engine`."""
        self.server.lifespan = self.config.lifespan_class(self.config)
        self.server.lifespan.logger = SILENT
        try:
            await self.server.startup(sockets=[sock])
        except SystemExit:
            cause = self.lifespan_error
            why = f"its lifespan raised {cause!r}" if cause else "its lifespan reported a failure"
            raise StartFailed(f"{why}, so mend its start-up code") from cause
        self.lifespan_error = None

    async def tick(self) -> None:
        """Renew the Date header of the answers."""
        await self.server.on_tick(0)

    async def stop(self) -> None:
        """See `Engine`."""
        state = self.server.server_state
        for listener in self.server.servers:
            listener.close()
        for connection in list(state.connections):
            # uvicorn's protocols raise when they are told twice, as with a client that is leaving right now.
            with contextlib.suppress(Exception):
                connection.shutdown()
        running = await ended(state.tasks)
        for task in running:
            task.cancel()
        await ended(running)
        close(connection.transport for connection in list(state.connections))
        await self._shut_down_lifespan()

    async def _shut_down_lifespan(self) -> None:
        try:
            async with asyncio.timeout(LIFESPAN_GRACE):
                await self.server.lifespan.shutdown()
        except TimeoutError:
            self.record(TimeoutError(f"the shutdown code took more than {LIFESPAN_GRACE:g} s and was cut off"))
        if self.lifespan_error:
            self.record(self.lifespan_error)


class WebSocketEngine:
    """A handler on `websockets.asyncio.server.serve`."""

    server: WebSocketServer

    def __init__(
        self, handler: Handler, record: Record, log: logging.Logger | None, options: dict[str, Any]
    ) -> None:
        refuse_unknown(
            options, "websockets.asyncio.server.serve", serve_websocket, asyncio.AbstractEventLoop.create_server
        )
        self.handler = handler
        self.record = record
        logger = log or logging.Logger("wirelab.websockets", logging.ERROR)
        # What process_request or process_response raise is told to the logger only.
        logger.addHandler(Recording(record, exceptions=True))
        self.options = {"logger": logger, **options}
        send_no_tickets(options.get("ssl"))
        self.scheme_suffix = "s" if options.get("ssl") else ""

    async def serve(self, connection: ServerConnection) -> None:
        """Pass a connection on to the handler, and keep what it raises."""
        try:
            await self.handler(connection)
        except FAULTS as exc:
            # The end of this connection is no fault; that of one which the handler made itself is.
            if not isinstance(exc, ConnectionClosed) or connection.state is State.OPEN:
                self.record(exc)
            await connection.close(CloseCode.INTERNAL_ERROR)

    async def start(self, sock: socket.socket) -> None:
        """See `Engine`."""
        try:
            self.server = await serve_websocket(self.serve, sock=sock, **self.options)
        except Exception as exc:
            raise StartFailed(f"websockets cannot use its options ({exc!r}), so mend those") from exc

    async def tick(self) -> None:
        """See `Engine`."""

    async def stop(self) -> None:
        """See `Engine`."""
        self.server.close()
        closing = self.server.close_task
        assert closing is not None
        if await ended([closing]):
            # Clients that have not answered the closing handshake (RFC 6455, section 7.1.2) by now.
            running = list(self.server.handler_tasks)
            for task in running:
                task.cancel()
            close(connection.transport for connection in list(self.server.all_connections))
            await ended([closing, *running])


def send_no_tickets(context: ssl.SSLContext | None) -> None:
    """Have a server's TLS context send no session tickets (RFC 8446, section 4.6.1).

    A ticket comes right after the handshake. `websockets.sync.client` reads it in one thread while another sends,
    which OpenSSL does not allow for one connection, and CPython's `ssl` does not prevent: on Python 3.11, four
    handshakes in 4,000 hung, and one process crashed. Without tickets none did in 14,000.
    """
    if isinstance(context, ssl.SSLContext) and context.protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0


class Recording(logging.Handler):
    """Keeps the errors that a library only logs: either its exceptions, or its words alone."""

    def __init__(self, record: Record, *, exceptions: bool) -> None:
        super().__init__(logging.ERROR)
        self._record = record
        self._exceptions = exceptions

    def emit(self, entry: logging.LogRecord) -> None:
        """Make a log entry an error of the server."""
        error = entry.exc_info[1] if entry.exc_info else None
        if self._exceptions and error:
            self._record(error)
        elif not (self._exceptions or error):
            self._record(RuntimeError(entry.getMessage()))


def refuse_unknown(options: Iterable[str], of: str, *functions: Callable[..., Any]) -> None:
    """Raise `StartFailed` for options that none of the functions takes."""
    known = {name for function in functions for name in inspect.signature(function).parameters}
    unknown = [name for name in options if name not in known]
    if unknown:
        raise StartFailed(f"{of} takes no option {', '.join(unknown)}, so leave that out")


def logging_to(logger: logging.Logger, protocol: Any) -> Any:
    """Give each connection of uvicorn a logger of its server's own."""

    def connect(**arguments: Any) -> Any:
        connection = protocol(**arguments)
        connection.logger = logger
        connection.access_log = False
        # Within uvicorn's connection may be one of websockets.
        inner: Any = getattr(connection, "conn", None)
        if hasattr(inner, "logger"):
            inner.logger = logger
        return connection

    return protocol and connect


def logged(scope: Any, send: Any, log: logging.Logger) -> Any:
    """Wrap an ASGI `send` so that each answer leaves a line in the log."""

    async def send_and_log(message: Any) -> None:
        if message["type"] == "http.response.start":
            log.info("%s %s %s", scope["method"], scope["path"], message["status"])
        elif message["type"] in ("websocket.accept", "websocket.close"):
            log.info("%s %s", message["type"].replace(".", " "), scope["path"])
        await send(message)

    return send_and_log


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Give tasks a moment to end, and return those that have not."""
    running = set(tasks)
    if running:
        _, running = await asyncio.wait(running, timeout=GRACE)
    return running


def close(transports: Iterable[Any]) -> None:
    """Close connections at once, dropping what a stopped reader has not taken."""
    for transport in transports:
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()
