"""A server on an event loop of its own in a background thread."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from websockets.exceptions import ConnectionClosed

from ._engines import CLIENT_LEFT, GRACE, LIFESPAN_GRACE, Engine, Record, StartFailed, engine_for
from ._faults import position_of_thread

# Seconds until a server that neither starts nor fails is given up.
START_DEADLINE = 20.0
# Seconds until stopping looks whether a handler blocks the event loop.
STOP_DEADLINE = 2.0
# Seconds to wait for the step that an event loop is in.
SETTLE_DEADLINE = 0.2
# How many exceptions a server keeps: each holds on to the variables of its handler.
ERRORS_KEPT = 1000

T = TypeVar("T")


def listening_socket(port: int) -> socket.socket:
    """Bind a TCP socket to 127.0.0.1; port 0 takes a free one.

    The protocol number is given because asyncio switches Nagle's algorithm off only where it sees it; with
    Nagle, each answer on a kept-alive connection waits some 40 ms for a delayed acknowledgement (RFC 896).

    Raises:
        OSError: the port is taken or not allowed.
        OverflowError, TypeError: it is no port at all.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # Lets a server come back to its port while old connections linger in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        # Two sockets may share a port until one of them listens: find out now, in the caller.
        sock.listen(2048)
    except BaseException:
        sock.close()
        raise
    return sock


class EngineThread:
    """An engine, serving from `start` until `end` on an event loop of its own.

    Args:
        name: what the thread is called by.
        make_engine: gets what is called with each exception that a handler raises, on the engine's thread.
        record: that, unless the exceptions are to be kept here.
        make_loop: makes the event loop.
    """

    port: int

    def __init__(
        self,
        name: str,
        make_engine: Callable[[Record], Engine],
        *,
        record: Record | None = None,
        make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        self.errors: list[BaseException] = []
        self.pid = os.getpid()
        self._record = record or self._keep
        self._make_loop = make_loop
        self._engine = make_engine(self._record)
        self.scheme_suffix = self._engine.scheme_suffix
        self._ready: Future[None] = Future()
        self._asked_to_stop = False
        self._stopping = asyncio.Event()
        self._sock: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"wirelab {name}", daemon=True)

    def start(self, port: int) -> None:
        """Serve on a port of 127.0.0.1, 0 for a free one, and return when it is ready.

        Raises:
            StartFailed: the port is not to be had, or the application refused to start.
        """
        try:
            self._sock = listening_socket(port)
        except (OSError, OverflowError, TypeError) as exc:
            raise StartFailed(_why_no_port(port, exc)) from None
        self.port = self._sock.getsockname()[1]
        self._thread.start()
        try:
            self._ready.result(START_DEADLINE)
        except TimeoutError:
            raise StartFailed(
                f"it was not ready after {START_DEADLINE:g} s, so look what its start-up code waits for"
            ) from None

    def _run(self) -> None:
        try:
            loop = self._make_loop()
        except OSError as exc:
            # It takes handles of its own.
            assert self._sock
            self._sock.close()
            self._ready.set_exception(StartFailed(_why_no_port(self.port, exc)))
            return
        loop.set_exception_handler(self._record_lost)
        main = loop.create_task(self._main())
        while not main.done():
            try:
                loop.run_until_complete(main)
            except BaseException as exc:
                # A task that calls sys.exit() stops its event loop; the other clients are still to be served.
                self._record(exc)
        _close(loop)

    async def _main(self) -> None:
        assert self._sock
        self._loop = asyncio.get_running_loop()
        if self._asked_to_stop:
            self._stopping.set()
        with self._sock as sock:
            try:
                await self._start_engine(sock)
            except BaseException as exc:
                self._ready.set_exception(exc)
                return
            self._ready.set_result(None)
            try:
                while not self._stopping.is_set():
                    await self._engine.tick()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1.0):
                            await self._stopping.wait()
            finally:
                await _stop_accepting(sock)
                await self._engine.stop()

    async def _start_engine(self, sock: socket.socket) -> None:
        starting = asyncio.create_task(self._engine.start(sock))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            raise StartFailed("it was stopped before it was ready, so serve it again")
        starting.result()

    def _keep(self, error: BaseException) -> None:
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(error)

    def _record_lost(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep what a task raised that nobody awaited: asyncio would print it into some cell."""
        error = context.get("exception")
        if isinstance(error, Exception) and not isinstance(error, (*CLIENT_LEFT, ConnectionClosed)):
            self._record(error)

    @property
    def running(self) -> bool:
        """Whether the server still answers."""
        return self._thread.is_alive()

    def settle(self) -> bool:
        """Let the event loop finish the step it is in, so that an error behind an answer is on record.

        Returns:
            Whether it did so in time.
        """
        if self._loop is None or threading.current_thread() is self._thread:
            return True
        done = threading.Event()
        try:
            self._loop.call_soon_threadsafe(done.set)
        except RuntimeError:
            # The loop is closed.
            return True
        return done.wait(SETTLE_DEADLINE)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function on the engine's thread, and return what it returns, or raise what it raises.

        Raises:
            RuntimeError: the event loop has ended.
        """
        answer: Future[T] = Future()

        def answered() -> None:
            try:
                result = function()
            except Exception as exc:
                answer.set_exception(exc)
            else:
                # One round later: connections that the function has broken off are closed by then.
                loop.call_soon(answer.set_result, result)

        assert self._loop
        loop = self._loop
        loop.call_soon_threadsafe(answered)
        return answer.result(START_DEADLINE)

    def ask_to_stop(self) -> None:
        """Begin to stop; `end` waits for it."""
        # This order, and the opposite one in _main, leave no moment at which the wish could get lost.
        self._asked_to_stop = True
        if self._loop:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)

    def end(self) -> str | None:
        """Stop, and wait until the port is free. Handlers in worker threads may outlast this.

        Returns:
            The line at which a handler blocks the event loop, for as long as it likes, or None.
        """
        self.ask_to_stop()
        if threading.current_thread() is self._thread:
            return None
        if self._thread.ident is None:
            # Interrupted before the thread could take the socket over.
            if self._sock:
                self._sock.close()
            return None
        self._thread.join(STOP_DEADLINE)
        if self._thread.is_alive() and self.settle():
            # Nothing blocks: it is the application's own shutdown code that takes its time.
            self._thread.join(LIFESPAN_GRACE)
        return position_of_thread(self._thread.ident) if self._thread.is_alive() else None


class ServerThread(EngineThread):
    """One application, serving from `start` until `end`.

    Args:
        app: an ASGI application or a websockets handler.
        name: what the thread is called by.
        log: print a line for each request or connection.
        options: for uvicorn or websockets.
        record: called on the server's thread with each exception that a handler raises.

    Raises:
        StartFailed: the application is of neither kind, or an option does not suit it.
    """

    def __init__(
        self, app: Any, name: str, *, log: bool, options: dict[str, Any], record: Record | None = None
    ) -> None:
        logger = _printing_logger() if log else None
        super().__init__(name, lambda kept: engine_for(app, kept, logger, options), record=record)


def _why_no_port(port: object, exc: Exception) -> str:
    if isinstance(exc, PermissionError):
        return f"port {port} is reserved by the system, so take one above 1023, or leave out port="
    if isinstance(exc, OSError) and exc.errno in (errno.EMFILE, errno.ENFILE):
        remedy = "stop servers, or run, first of all in the shell: ulimit -n 4096"
        return f"no more files and sockets may be open ({exc}), so {remedy}"
    if isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program ({exc}), so stop that, or leave out port="
    if isinstance(exc, OSError):
        return f"port {port} is not to be had ({exc}), so take another one, or leave out port="
    return f"{port!r} is no port, so take a whole number from 1 to 65535, or leave out port="


async def _stop_accepting(sock: socket.socket) -> None:
    """Hand connections that are being accepted right now to the engine: once it stops, asyncio loses them.

    A lost connection stays open until the garbage collector finds it, and its client waits (cpython issue 109564).
    """
    # Windows' event loop accepts in another way.
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().remove_reader(sock)
    # One round to start the task that makes the transport, one to make it, one to tell the protocol.
    for _ in range(3):
        await asyncio.sleep(0)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Close an event loop although tasks may refuse to end and worker threads may be busy."""
    with contextlib.suppress(BaseException):
        loop.run_until_complete(_leave())
    loop.close()


async def _leave() -> None:
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=GRACE)
    for task in tasks:
        # It has caught its cancellation. Left to the garbage collector, it would complain into some cell.
        with contextlib.suppress(RuntimeError):
            task.get_coro().close()
    # Connections in the middle of a handshake, and those that handlers have made, are in no engine's list.
    for transport in list(getattr(loop, "_transports", {}).values()):
        # asyncio's abort trips over one that has just been lost while it was closing (anyio issue 1250).
        with contextlib.suppress(AttributeError):
            transport.abort()
    async with asyncio.timeout(GRACE):
        await loop.shutdown_asyncgens()


def _printing_logger() -> logging.Logger:
    # Not from logging.getLogger: a server's log must not depend on, or change, the notebook's own logging.
    logger = logging.Logger("wirelab.log", logging.INFO)
    logger.addHandler(logging.StreamHandler(sys.stdout))
    return logger
