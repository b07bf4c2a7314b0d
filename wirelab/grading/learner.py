"""The learner's process: it runs a submission's cells, then a copy of itself answers for each exercise.

Everything here runs beside the learner's code and may have been changed by it: nothing that this process says
raises a score. Where there is no fork it is started as ``python -m wirelab.grading.learner HANDLE``.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import gc
import linecache
import os
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ..checks.remote import answer_calls, serving
from ..serving import serve, stop_all
from .channel import Channel, Message

# Characters of what is reported of one cell, and how many cells are reported.
FAULT_LENGTH, FAULTS_KEPT = 300, 10
# Seconds that worker threads get to end when their server has.
THREAD_GRACE = 0.1
# Seconds for what takes a few milliseconds.
WARM_UP_DEADLINE = 20.0
# How often each sample request is sent before anything else.
WARM_UP_ROUNDS = 8
SAMPLE_REQUESTS: tuple[tuple[str, str, dict[str, str] | None], ...] = (
    ("GET", "/0", None),
    ("GET", "/1", None),
    ("DELETE", "/x", None),
    ("DELETE", "/1", None),
    ("POST", "/", {"text": ""}),
    ("POST", "/", {}),
)


class CellTimeout(BaseException):
    """A cell took too long. No `Exception`: a learner's ``except Exception`` shall not hold it up."""


class Shell(InteractiveShell):
    """IPython's shell as a kernel has it, without anybody in front of it."""

    # Without the terminal that IPython makes up for a program that a cell starts: a sandbox may have none.
    system = InteractiveShell.system_raw

    def enable_gui(self, gui: str | None = None) -> None:
        """Accept ``%matplotlib inline`` and its like: nobody looks."""


def prepare_shell(folder: str) -> None:
    """Make the shell of this process ahead of time. `folder` takes IPython's own files."""
    os.environ["IPYTHONDIR"] = folder
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    Shell.instance(config=config)


# What a submission looks like: it is run before all others.
SAMPLE_CELLS = (
    """
import json
from fastapi import FastAPI, HTTPException, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

app = FastAPI()


class Sample(BaseModel):
    text: str
    more: str = ""


@app.exception_handler(NotImplementedError)
def missing(request, error):
    return JSONResponse({"detail": str(error)}, status_code=501)
""",
    """
@app.get("/{number}")
def get(number: int):
    if number:
        raise HTTPException(404, "none")
    return [{"number": number}]


@app.delete("/{number}", status_code=204)
async def delete(number: int):
    raise NotImplementedError


@app.post("/", status_code=201)
def post(sample: Sample, response: Response):
    response.headers["Location"] = "/0"
    return sample
""",
    """
async def echo(connection):
    async for message in connection:
        await connection.send(json.dumps(json.loads(message)))


print(json.dumps({}))
""",
)


def warm_up() -> None:
    """Run cells, serve requests and a WebSocket: libraries load much of themselves at first use.

    Each thing happens a few times: the interpreter fits code to what it meets (PEP 659), and the copies of this
    process inherit that.
    """
    # Here, for a process that is started afresh shall only import what its submission does.
    import requests
    from websockets.sync.client import connect

    from ..apps import todos  # noqa: F401  (what labs show and mend)
    from ..lab import open_lab  # noqa: F401  (what every lab imports)

    shell = Shell.instance()
    for cell in SAMPLE_CELLS:
        asyncio.run(run_cell(shell, cell))
    with serve(shell.user_ns["app"]) as server:
        for _ in range(WARM_UP_ROUNDS):
            for method, path, body in SAMPLE_REQUESTS:
                requests.request(method, server.http + path, json=body, timeout=WARM_UP_DEADLINE)
    with serve(shell.user_ns["echo"]) as server:
        for _ in range(WARM_UP_ROUNDS):
            with connect(server.ws, proxy=None, open_timeout=WARM_UP_DEADLINE) as client:
                client.send("[]")
                client.recv(WARM_UP_DEADLINE)
    shell.reset(new_session=True)  # type: ignore[no-untyped-call]
    wait_for_threads()


class Workspace:
    """What the submission's code has defined.

    Attributes:
        namespace: its global names.
        faults: what went wrong, one line for each cell.
    """

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {}
        self.faults: list[str] = []

    @functools.cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that its cells ran on, or a new one."""
        loop = asyncio.new_event_loop()
        self._executor = _new_executor(loop)
        return loop

    def run(self, order: Message) -> None:
        """Run all cells, or the one file; a cell that fails costs what depends on it and no more."""
        if order["source"] is not None:
            with self._reporting("the file"), time_limit(order["cells_seconds"]):
                self._run_file(order["source"])
        else:
            self._run_cells(order)

    def _run_cells(self, order: Message) -> None:
        if not Shell.initialized():
            prepare_shell(os.environ["HOME"])
        shell = Shell.instance()
        self.namespace = shell.user_ns
        end = time.monotonic() + order["cells_seconds"]
        for number, source in order["cells"]:
            seconds = min(order["cell_seconds"], end - time.monotonic())
            with self._reporting(f"cell {number}"):
                cell = self.loop.create_task(run_cell(shell, source))
                with time_limit(seconds, cell):
                    self.loop.run_until_complete(cell)

    def _run_file(self, source: str) -> None:
        # A module of its own: not the main program, so that a server started under "if __name__" is not.
        module = types.ModuleType("submission")
        sys.modules["submission"] = module
        self.namespace = vars(module)
        # So that an error can name its line.
        linecache.cache["submission.py"] = (len(source), None, source.splitlines(True), "submission.py")
        exec(compile(source, "submission.py", "exec"), self.namespace)

    @contextlib.contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        try:
            yield
        except BaseException as exc:
            if len(self.faults) < FAULTS_KEPT:
                self.faults.append(f"{what}: {type(exc).__name__}: {exc}"[:FAULT_LENGTH])

    def settled(self) -> bool:
        """Whether a fork of this process would have all of it: no other thread, no unfinished task."""
        stop_all()
        tasks: set[asyncio.Task[Any]] = set()
        if "loop" in vars(self):
            tasks = asyncio.all_tasks(self.loop)
            # What `asyncio.to_thread` has used stays for the next call, and is idle.
            idle, self._executor = self._executor, _new_executor(self.loop)
            idle.shutdown(wait=False)
        return hasattr(os, "fork") and wait_for_threads() and not tasks


def _new_executor(loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor:
    """Give an event loop new threads for `asyncio.to_thread`."""
    executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop.set_default_executor(executor)
    return executor


async def run_cell(shell: InteractiveShell, source: str) -> None:
    """Run one cell as a kernel does: on the running event loop, with magics and top-level ``await``.

    Raises:
        BaseException: what the cell raised.
    """
    try:
        code, failure = shell.transform_cell(source), None
    except Exception:
        code, failure = source, sys.exc_info()
    result = await shell.run_cell_async(
        source, store_history=True, transformed_cell=code, preprocessing_exc_tuple=failure
    )
    result.raise_error()


@contextlib.contextmanager
def time_limit(seconds: float, task: asyncio.Task[Any] | None = None) -> Iterator[None]:
    """Interrupt the block, and the `task` that it waits for, after a time, where there are signals for that.

    Raises:
        CellTimeout: the time was over, or there was none.
    """
    late = CellTimeout(f"it was still running after {seconds:.3g} s")
    if seconds <= 0:
        raise CellTimeout("the time for all cells was over")

    def interrupt(*_: object) -> None:
        if task and not asyncio.current_task(task.get_loop()):
            # The event loop itself is waiting: an exception here would end all of it.
            task.get_loop().call_soon_threadsafe(task.cancel)
        else:
            raise late

    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, interrupt)
        # Again each second, for code that swallows the first.
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    except asyncio.CancelledError:
        raise late from None
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)


def wait_for_threads() -> bool:
    """Give other threads a moment to end; say whether they did."""
    deadline = time.monotonic() + THREAD_GRACE
    while _threads() > 1 and time.monotonic() < deadline:
        time.sleep(0.002)
    return _threads() == 1


def _threads() -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/task"))
    return threading.active_count()


class Copies:
    """The processes that answer for the exercises: forks of this one, or, if it cannot be forked, itself."""

    def __init__(self, workspace: Workspace, grader: Channel, *, fork: bool) -> None:
        self.workspace = workspace
        self.grader = grader
        self.fork = fork
        self.pids: dict[int, int] = {}

    def start(self, order: Message, sockets: list[socket.socket]) -> None:
        """Answer on the first of the sockets; serve a deliverable on the second, if there is one."""
        pid = os.fork() if self.fork else 0
        if pid:
            self.pids[order["number"]] = pid
            for sock in sockets:
                sock.close()
            return
        try:
            if self.fork:
                os.setpgid(0, 0)
                self.grader.close()
                # The kernel's part of the old one would be shared with this process's siblings.
                self.workspace.loop = asyncio.new_event_loop()
            self.workspace.loop.run_until_complete(self._answer(order, *sockets))
        finally:
            os._exit(0)

    async def _answer(self, order: Message, sock: socket.socket, listener: socket.socket | None = None) -> None:
        functions: Mapping[str, Any] = self.workspace.namespace
        if listener:
            functions = serving(functions[order["name"]], order["kind"], listener)
        await answer_calls(functions, sock)

    def end(self, order: Message) -> None:
        """Kill one, and what it started."""
        if pid := self.pids.pop(order["number"], 0):
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def main(grader: Channel) -> None:
    """Run the submission that the grader sends, then do what it asks until it hangs up."""
    order, _ = grader.receive()
    workspace = Workspace()
    workspace.run(order)
    # One that is used once answers itself: a fork would draw other random numbers than its cells have seeded.
    fork = order["reusable"] and workspace.settled()
    missing = [name for name in order["deliverables"] if name not in workspace.namespace]
    grader.send({"forks": fork, "missing": missing, "faults": workspace.faults})
    # As in the clean process: a copy shall not go through what it has inherited.
    gc.freeze()
    copies = Copies(workspace, grader, fork=fork)
    while True:
        try:
            order, sockets = grader.receive()
        except EOFError:
            return
        match order["op"]:
            case "start":
                copies.start(order, sockets)
            case "end":
                copies.end(order)
            case "report":
                grader.send({})


def _handed_over() -> socket.socket:
    if len(sys.argv) > 1:
        return socket.socket(fileno=int(sys.argv[1]))
    # Windows hands sockets over as bytes.
    return cast(socket.socket, cast(Any, socket).fromshare(base64.b64decode(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main(Channel(_handed_over()))
