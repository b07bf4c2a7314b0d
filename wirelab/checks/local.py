"""The target of the notebook: the deliverables as they are in this kernel, in a forked copy of it.

A forked child has the learner's objects without a word of copying code, and what a check does to them (create,
delete, crash) leaves the notebook as it was. Where there is no fork (Windows) a thread stands in: the checks then
meet the very objects of the notebook, and change them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import stat
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, Protocol

from wirelab._background import listening_socket
from wirelab.checks import Lab, NotStarted
from wirelab.checks.remote import Calls, answer_calls, serving, settled
from wirelab.checks.targets import CallingTarget, RemoteServer, start_server

CAN_FORK = hasattr(os, "fork")


class LocalTarget(CallingTarget):
    """Objects of this process as a target for checks; one for each exercise, in an ``async with``.

    Args:
        lab: says how each deliverable is served.
        objects: the deliverables by name.
    """

    def __init__(self, lab: Lab, objects: Mapping[str, Any]) -> None:
        """Start nothing yet."""
        super().__init__()
        self._lab = lab
        self._objects = objects

    @contextlib.asynccontextmanager
    async def serve(
        self, name: str, *args: Any, own_interpreter: bool = False, **options: Any
    ) -> AsyncIterator[LocalServer]:
        """See ``Target``; a notebook cannot start an interpreter afresh."""
        if own_interpreter:
            raise NotStarted("this check needs a fresh interpreter, which only `wirelab grade` has.")
        if name not in self._objects:
            raise NotStarted(f"there is no {name}.")
        listener = listening_socket(0)
        port = listener.getsockname()[1]
        functions = serving(self._objects[name], self._lab.deliverables[name], listener)
        async with _child(functions, listener) as (calls, child):
            await start_server(name, calls, await settled(args, lambda: listening_socket(0)), options)
            yield LocalServer(port, calls, child)

    async def listen(self) -> socket.socket:
        """See ``Target``."""
        return listening_socket(0)

    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncIterator[Calls]:
        async with _child(self._objects) as (calls, _):
            yield calls


class LocalServer(RemoteServer):
    """A deliverable that serves in a child of this process; see ``Served``."""

    def __init__(self, port: int, calls: Calls, child: _Child) -> None:
        """Name the addresses."""
        super().__init__(port, calls)
        self._child = child

    async def memory(self) -> int | None:
        """Unknown: a child shares the kernel's memory."""
        return None

    async def kill(self) -> None:
        """See ``Served``."""
        self._child.end()


class _Child(Protocol):
    """Something that runs `answer_calls` beside this code."""

    def end(self) -> None:
        """End it at once and wait until it is gone; once more does nothing."""


@contextlib.asynccontextmanager
async def _child(
    functions: Mapping[str, Any], listener: socket.socket | None = None
) -> AsyncIterator[tuple[Calls, _Child]]:
    """Answer calls to `functions` in a child; `listener` goes to it."""
    here, there = socket.socketpair()
    keep = [there, listener] if listener else [there]
    child: _Child = (ForkedChild if CAN_FORK else ThreadChild)(answer_calls(functions, there), keep)
    try:
        async with Calls(here) as calls:
            yield calls, child
    finally:
        child.end()


class ForkedChild:
    """A forked copy of this process that runs one coroutine, with these sockets and no other."""

    def __init__(self, work: Coroutine[Any, Any, None], keep: list[socket.socket]) -> None:
        hang_up_notice, self._lifeline = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns of forking beside threads: their locks may be held. A child that is stuck for
            # that reason costs a deadline, no more.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._lifeline)
                _leave_the_kernel({sock.fileno() for sock in keep})
                threading.Thread(target=_exit_at_end_of, args=(hang_up_notice,), daemon=True).start()
                asyncio.run(work)
            finally:
                os._exit(0)
        work.close()
        os.close(hang_up_notice)
        for sock in keep:
            sock.close()

    def end(self) -> None:
        """See `_Child`."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            os.close(self._lifeline)
            self._pid = 0


def _exit_at_end_of(pipe: int) -> None:
    """End this process when the other end of the pipe is closed: a kernel that dies leaves no child behind."""
    os.read(pipe, 1)
    os._exit(0)


def _leave_the_kernel(keep: set[int]) -> None:
    """Make a forked child harmless to its kernel: silent, without its connections, in a group of its own."""
    os.setpgid(0, 0)
    # What came with the fork is never collected: closing it would reach into what the kernel still uses.
    gc.freeze()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    for stream in (sys.stdout, sys.stderr):
        # Loggers may hold the notebook's streams, which reach the front end from a child as well. Plain files
        # refuse this, and need it not.
        with contextlib.suppress(AttributeError):
            stream.write = len  # type: ignore[method-assign]
            stream.flush = lambda: None  # type: ignore[method-assign]
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for handle in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):
            if handle not in keep and stat.S_ISSOCK(os.fstat(handle).st_mode):
                # Not closed: its number would go to a new connection, and then be closed by the old owner.
                os.dup2(nowhere, handle)


class ThreadChild:
    """The stand-in where there is no fork: a thread with an event loop of its own."""

    def __init__(self, work: Coroutine[Any, Any, None], keep: list[socket.socket]) -> None:
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(work)
        self._thread = threading.Thread(target=self._run, args=(keep,), name="wirelab check", daemon=True)
        self._thread.start()

    def _run(self, keep: list[socket.socket]) -> None:
        # The runner ends what the work has left running.
        with (
            asyncio.Runner(loop_factory=lambda: self._loop) as runner,
            contextlib.suppress(asyncio.CancelledError),
        ):
            runner.get_loop().run_until_complete(self._task)
        for sock in keep:
            sock.close()

    def end(self) -> None:
        """See `_Child`."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(1.0)
