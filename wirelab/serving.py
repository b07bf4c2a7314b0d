"""Run a REST or WebSocket server behind a notebook: `serve` starts one and hands it back running.

A server lives on an event loop of its own, in a background thread, or in a process of its own where a number is
the point: there the notebook's own work does not slow it down.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import warnings
from types import TracebackType
from typing import Any, Self, TypeVar

from ._background import EngineThread, ServerThread
from ._engines import StartFailed
from ._faults import describe_error
from ._names import dotted_name, load, name_of
from ._notebook import after_each_cell, current_cell, shell
from ._subprocess import ServerProcess

# How many of a server's errors are told one by one beneath a cell.
ERRORS_SHOWN = 3

_NOT_HERE = {
    **dict.fromkeys(("host", "sock", "uds", "fd", "unix"), "servers of this kit listen on 127.0.0.1 only"),
    "reload": "run the cell again to load changed code",
    "workers": "start as many servers as you need with process=True",
    "start_serving": "servers of this kit serve at once",
}


class ServeError(RuntimeError):
    """A server could not be started. The message says in one sentence what to do."""


class Server:
    """A running server, as `serve` returns it; `with` stops it at the end of the block.

    Attributes:
        name: what a later `serve` of the same name replaces.
        port: the TCP port on 127.0.0.1.
        http: base URL for HTTP, without a trailing slash.
        ws: base URL for WebSocket, without a trailing slash.
        pid: the process that serves: this one, or the server's own.
    """

    port = 0
    http: str
    ws: str
    pid: int

    def __init__(self, name: str, runner: EngineThread | ServerProcess) -> None:
        self.name = name
        self._runner = runner
        self._cell = current_cell()
        self._reported = 0

    def _start(self, port: int) -> None:
        self._runner.start(port)
        self.port = self._runner.port
        self.http = f"http{self._runner.scheme_suffix}://127.0.0.1:{self.port}"
        self.ws = f"ws{self._runner.scheme_suffix}://127.0.0.1:{self.port}"
        self.pid = self._runner.pid

    @property
    def running(self) -> bool:
        """Whether the server still answers."""
        return self._runner.running

    @property
    def errors(self) -> list[BaseException]:
        """What handlers have raised, the first thousand, oldest first. A client that leaves is no error."""
        self._runner.settle()
        return list(self._runner.errors)

    def stop(self) -> None:
        """Close every connection and free the port; does nothing to a stopped server.

        Connections get a few hundredths of a second to end by themselves. A handler that blocks the event loop
        cannot be stopped: a warning then says where it stands.
        """
        _stop([self])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"running at {self.http}" if self.running else "stopped"
        count = len(self._runner.errors)
        return f"<Server {self.name}: {state}" + (f", {count} in .errors>" if count else ">")


def base_url(server: Server | str) -> str:
    """Return the base URL for HTTP of a server that is given by itself or by that.

    Raises:
        TypeError: it is neither.
    """
    url = server.http if isinstance(server, Server) else server
    if not isinstance(url, str):
        raise TypeError(f"Hand over a server, or its URL as in server.http, not {server!r}.")
    return url


S = TypeVar("S", bound=Server)

_servers: list[Server] = []


def serve(
    app: Any,
    *,
    port: int = 0,
    name: str | None = None,
    process: bool = False,
    log: bool = False,
    factory: bool = False,
    **options: Any,
) -> Server:
    """Start a server on 127.0.0.1 and return it when it is ready for its first client.

    Run a cell again and the new server replaces the one that the cell made before: a server goes by the name of
    its application, or by `name`.

    Args:
        app: an ASGI application (FastAPI, Starlette, ...), a handler for `websockets.asyncio.server.serve`, or
            the dotted name of either, ``"package.module:attribute"``.
        port: TCP port; 0 takes a free one.
        name: the server's name. A server started earlier with the same `name` is stopped first.
        process: run in a process of its own instead of a thread; needs a dotted name or an importable function.
        log: print a line for each request (ASGI) or connection (handler).
        factory: `app` makes the application and is called without arguments.
        **options: passed on to `uvicorn.Config` or `websockets.asyncio.server.serve`. With TLS, the server
            sends no session tickets: on them, clients that read in one thread and write in another may hang.

    Raises:
        ServeError: the port is taken, the name cannot be imported, the application is of neither kind, its
            start-up failed, or an option is unknown.
    """
    for option in options.keys() & _NOT_HERE.keys():
        raise ServeError(f"Leave out {option}=: {_NOT_HERE[option]}.")
    label = name or name_of(app)
    try:
        runner: ServerThread | ServerProcess
        if process:
            runner = ServerProcess(dotted_name(app), factory=factory, log=log, options=options)
        else:
            runner = ServerThread(load(app, factory=factory), label, log=log, options=options)
    except StartFailed as exc:
        raise ServeError(f"{label} did not start: {exc}.") from exc.__cause__
    return launch(Server(label, runner), port, explicit=name is not None)


def launch(server: S, port: int, *, explicit: bool) -> S:
    """Start a server in the place of those that it replaces, and return it when it is ready.

    Args:
        server: one that was not started yet.
        port: TCP port; 0 takes a free one.
        explicit: whether the server got its name by hand.

    Raises:
        ServeError: it did not start. Nothing is left behind.
    """
    try:
        # On the list before it starts: an interrupt may come at any moment, and nothing is to be left behind.
        _replace(server, explicit=explicit)
        _refuse_own_port(port)
        server._start(port)
    except StartFailed as exc:
        _stop([server])
        raise ServeError(f"{server.name} did not start: {exc}.") from exc.__cause__
    except BaseException:
        _stop([server])
        raise
    after_each_cell(_report_errors)
    return server


def stop_all() -> None:
    """Stop every server that `serve` started in this process, and every `Link`."""
    _stop(list(_servers))


atexit.register(stop_all)
if hasattr(os, "register_at_fork"):
    # A forked process has its parent's list, and none of the servers.
    os.register_at_fork(after_in_child=_servers.clear)


def _replace(server: Server, *, explicit: bool) -> None:
    """Put a server on the list, and stop those that it stands in for.

    A name given by hand always replaces. A name taken from the application replaces only what an earlier run of
    a notebook's cell made: two servers of one application within one cell are meant.
    """
    old = [
        s for s in _servers if s.name == server.name and (explicit or (server._cell and s._cell != server._cell))
    ]
    _servers.append(server)
    _stop(old)


def _refuse_own_port(port: int) -> None:
    holder = next((s for s in _servers if port and s.port == port and s.running), None)
    if holder:
        raise StartFailed(f"port {port} is taken by your server {holder.name!r}, so stop that, or leave out port=")


def _stop(servers: list[Server]) -> None:
    for server in servers:
        server._runner.ask_to_stop()
    for server in servers:
        blocked_at = server._runner.end()
        if blocked_at:
            warnings.warn(
                f"A handler blocks its event loop at {blocked_at}. Server {server.name} stops only when that "
                "returns: await what takes long, or use a plain def endpoint for it.",
                RuntimeWarning,
                stacklevel=3,
            )
        else:
            with contextlib.suppress(ValueError):
                _servers.remove(server)
    if shell():
        _report(servers)


def _report_errors(_result: object) -> None:
    _report(list(_servers))


def _report(servers: list[Server]) -> None:
    """Say in the cell's output what the servers' handlers have raised: nobody looks for it elsewhere."""
    for server in servers:
        errors = server.errors
        new = errors[server._reported :]
        server._reported = len(errors)
        for error in new[:ERRORS_SHOWN]:
            print(
                f"Server {server.name}: a handler raised {describe_error(error)}. "
                "See it all with: raise server.errors[-1]"
            )
        if len(new) > ERRORS_SHOWN:
            print(f"Server {server.name}: and {len(new) - ERRORS_SHOWN} more errors, in server.errors")
