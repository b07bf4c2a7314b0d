"""A server in a process of its own: `ServerProcess` is the parent's side, `child` the other.

Parent and child talk in lines of JSON over the child's standard input and output. The child ends when its input
does, so it never outlives a notebook, however that ended.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from ._background import ERRORS_KEPT, SETTLE_DEADLINE, START_DEADLINE, STOP_DEADLINE, ServerThread
from ._engines import LIFESPAN_GRACE, StartFailed
from ._faults import describe_error
from ._names import load

# First of all the child turns deaf to SIGINT: an interrupted cell signals the whole process group, and its server
# is not what was interrupted.
_BOOT = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = {path!r}; "
    "from wirelab._subprocess import child; child()"
)


class ServerProcess:
    """One application, serving in a process of its own from `start` until `end`.

    Args:
        app: the dotted name of the application, or of what makes it.
        factory: whether it makes the application.
        log: print a line for each request or connection.
        options: for uvicorn or websockets.

    Raises:
        StartFailed: an option cannot be passed to another process.
    """

    port: int
    scheme_suffix: str
    pid: int

    def __init__(self, app: str, *, factory: bool, log: bool, options: dict[str, Any]) -> None:
        self.errors: list[BaseException] = []
        self._order = {"app": app, "factory": factory, "log": log, "options": options}
        try:
            json.dumps(options)
        except (TypeError, ValueError) as exc:
            raise StartFailed(f"process=True takes options of numbers, text and lists only ({exc})") from exc
        self._child: subprocess.Popen[str] | None = None
        self._started: Future[dict[str, Any]] = Future()
        self._settled = threading.Event()
        self._asked_to_stop = False
        self._reader = threading.Thread(target=self._read, name=f"wirelab reads {app}", daemon=True)

    def start(self, port: int) -> None:
        """Serve on a port of 127.0.0.1, 0 for a free one, and return when it is ready.

        Raises:
            StartFailed: the port is not to be had, or the application refused to start.
        """
        self._child = subprocess.Popen(
            [sys.executable, "-c", _BOOT.format(path=[str(entry) for entry in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._child.pid
        self._reader.start()
        self._send(json.dumps({**self._order, "port": port}))
        try:
            started = self._started.result(START_DEADLINE)
        except TimeoutError:
            raise StartFailed(
                f"it was not ready after {START_DEADLINE:g} s, so look what its module or start-up code waits for"
            ) from None
        self.port, self.scheme_suffix = started["port"], started["scheme_suffix"]

    def _send(self, line: str) -> None:
        assert self._child
        assert self._child.stdin
        # Where the child has ended, its end is told by what it no longer says.
        with contextlib.suppress(OSError, ValueError):
            self._child.stdin.write(line + "\n")
            self._child.stdin.flush()

    def _read(self) -> None:
        assert self._child
        assert self._child.stdout
        for line in self._child.stdout:
            # Before the child has taken its standard output for itself, a start-up file of Python may print there.
            with contextlib.suppress(json.JSONDecodeError):
                self._take(**json.loads(line))
        status = self._child.wait()
        if not self._started.done():
            why = f"its process ended (exit status {status}) before it was ready, so run it in a shell to see why"
            self._started.set_exception(StartFailed(why))
        elif not self._asked_to_stop:
            self.errors.append(RuntimeError(f"the server's process ended by itself (exit status {status})"))

    def _take(self, kind: str, **values: Any) -> None:
        match kind:
            case "started":
                self._started.set_result(values)
            case "failed":
                self._started.set_exception(StartFailed(values["text"]))
            case "settled":
                self._settled.set()
            case "printed":
                sys.stdout.write(values["text"])
            case "error" if len(self.errors) < ERRORS_KEPT:
                error = RuntimeError(values["text"])
                error.add_note("In the server's own process:\n" + values["traceback"])
                self.errors.append(error)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._child is not None and self._child.poll() is None

    def settle(self) -> bool:
        """Wait for what the child has to say about the step that its event loop is in.

        Returns:
            Whether it said so in time.
        """
        if not self.running:
            return True
        self._settled.clear()
        self._send("settle")
        return self._settled.wait(SETTLE_DEADLINE)

    def ask_to_stop(self) -> None:
        """Begin to stop; `end` waits for it."""
        self._asked_to_stop = True
        if self._child and self._child.stdin:
            with contextlib.suppress(OSError):
                self._child.stdin.close()

    def kill(self) -> None:
        """End the process at once, without a word to its clients; it is no error that it ended."""
        self._asked_to_stop = True
        if self._child:
            self._child.kill()

    def end(self) -> None:
        """Wait until the process is gone; end it by force when a handler keeps it."""
        self.ask_to_stop()
        if self._child is None:
            return
        try:
            # One more second than the child gives itself.
            self._child.wait(STOP_DEADLINE + LIFESPAN_GRACE + 1)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        # A process that the application has started may hold the pipe open.
        self._reader.join(STOP_DEADLINE)
        if self._child.stdout and not self._reader.is_alive():
            self._child.stdout.close()


def child() -> None:
    """Serve what the parent orders, until it closes this process's standard input."""
    orders, sender = os.fdopen(os.dup(0)), _Sender()
    _take_standard_streams(sender)
    order = orders.readline()
    if order:
        _serve(json.loads(order), orders, sender)


def _serve(order: dict[str, Any], orders: Iterable[str], sender: _Sender) -> None:
    serving: Future[ServerThread] = Future()
    # In a thread of its own: this one may hang in the application's import when the parent wants it to end.
    threading.Thread(target=_obey, args=(orders, serving, sender), daemon=True).start()
    try:
        server = ServerThread(
            load(order["app"], factory=order["factory"]),
            order["app"],
            log=order["log"],
            options=order["options"],
            record=sender.send_error,
        )
        server.start(order["port"])
    except StartFailed as exc:
        sender.send("failed", text=str(exc))
        os._exit(1)
    serving.set_result(server)
    sender.send("started", port=server.port, scheme_suffix=server.scheme_suffix)
    threading.Event().wait()


def _obey(orders: Iterable[str], serving: Future[ServerThread], sender: _Sender) -> None:
    for _ in orders:
        serving.result().settle()
        sender.send("settled")
    if serving.done():
        serving.result().end()
    # Not sys.exit: that waits for worker threads, and a stuck one would outlive the notebook.
    os._exit(0)


def _take_standard_streams(sender: _Sender) -> None:
    """Keep apart what the application reads and prints from what parent and child tell each other."""
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.stdout = _Printed(sender)


class _Sender:
    """The child's way to tell its parent."""

    def __init__(self) -> None:
        self._pipe = os.fdopen(os.dup(1), "w")
        self._lock = threading.Lock()

    def send(self, kind: str, **values: Any) -> None:
        # A parent that is gone needs to know nothing.
        with self._lock, contextlib.suppress(OSError):
            self._pipe.write(json.dumps({"kind": kind, **values}) + "\n")
            self._pipe.flush()

    def send_error(self, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))
        self.send("error", text=describe_error(error), traceback=text)


class _Printed(io.TextIOBase):
    """What an application prints, on its way to the parent, which prints it."""

    def __init__(self, sender: _Sender) -> None:
        self._sender = sender

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._sender.send("printed", text=text)
        return len(text)
