"""The clean process, which forks a supervisor for each submission, which forks the learner's process.

Started afresh, never forked from the grader, it holds no check and no secret. It imports what most submissions
import, so that a submission starts in milliseconds. Run as ``python -m wirelab.grading.zygote HANDLE FOLDER``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import shutil
import signal
import socket
import sys
import time
from typing import NoReturn

from .._background import listening_socket
from .channel import Channel
from .limits import MEBIBYTE, Limits
from .sandbox import Isolation, Sandbox, adopt_orphans, best_isolation, descendants, memory_of

# Seconds between two looks at a submission's memory.
WATCH_INTERVAL = 0.1
# Seconds beyond the limit for a whole submission until its processes end, whatever the grader is doing.
WALL_GRACE = 10.0


def main(handle: int, folder: str) -> None:
    """Fork a supervisor for each order that comes in, until the grader hangs up. Then `folder` goes."""
    grader = Channel(socket.socket(fileno=handle))
    # Nobody waits for a child: the system shall forget each one, and what it leaves.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    adopt_orphans()
    order, _ = grader.receive()
    limits = Limits(**order["limits"])
    isolation, reason = _isolation(order["isolation"], limits, folder)
    # Nothing of what is imported now is ever garbage.
    gc.disable()
    try:
        from . import learner

        learner.prepare_shell(folder)
        learner.warm_up()
    except Exception as exc:
        grader.send({"failed": f"{type(exc).__name__}: {exc}"})
        return
    gc.collect()
    # Collections in the children would copy every page that they touch.
    gc.freeze()
    gc.enable()
    grader.send({"isolation": isolation.name, "reason": reason})
    while True:
        try:
            order, (control, sock) = grader.receive()
        except EOFError:
            shutil.rmtree(folder, ignore_errors=True)
            return
        if os.fork() == 0:
            try:
                grader.close()
                _supervise(Sandbox(isolation, limits), Channel(control), sock, order)
            finally:
                os._exit(1)
        control.close()
        sock.close()


def _isolation(asked: str | None, limits: Limits, folder: str) -> tuple[Isolation, str]:
    return (Isolation[asked], "asked for") if asked else best_isolation(limits, folder)


def _supervise(sandbox: Sandbox, control: Channel, sock: socket.socket, order: dict[str, str]) -> NoReturn:
    """Start the learner's process and end it, and all that it started, when the grader hangs up."""
    pid = 0
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        home = sandbox.enter(order["folder"])
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            control.close()
            _become_learner(sandbox, home, sock, fresh=bool(order["fresh"]))
        sock.close()
        # In a process namespace of its own the number means nothing outside.
        control.send({"group": 0 if sandbox.isolation is Isolation.NAMESPACES else pid})
        control.send({"ended": Supervisor(sandbox, control, pid).watch()})
    except BaseException as exc:
        _tell(control, f"could not be isolated: {exc!r}")
    finally:
        sandbox.end(pid)


def _tell(control: Channel, text: str) -> None:
    with contextlib.suppress(OSError):
        control.send({"ended": text})


class Supervisor:
    """Watches one learner's process and everything below it.

    The learner's code cannot reach it: with namespaces it is the first process of their tree, which nobody inside
    can signal; with a user of its own, it is root's.
    """

    def __init__(self, sandbox: Sandbox, control: Channel, learner: int) -> None:
        self.limits = sandbox.limits
        self.control = control
        self.learner = learner
        # What a process holds from its birth is shared with all others.
        self.shared = sum(memory_of([os.getpid()]))

    def watch(self) -> str:
        """Answer the grader until it hangs up, the learner's process ends or takes too much; say what ended."""
        poll = select.poll()
        control = self.control.sock.fileno()
        end = time.monotonic() + self.limits.wall + WALL_GRACE
        poll.register(control, select.POLLIN)
        if hasattr(os, "pidfd_open"):
            # Ends the wait when the learner's process does.
            poll.register(os.pidfd_open(self.learner), select.POLLIN)
        while True:
            if control in dict(poll.poll(WATCH_INTERVAL * 1000)):
                try:
                    order, _ = self.control.receive()
                except EOFError:
                    return "the grader ended it"
                self._answer(order)
            if time.monotonic() > end:
                return f"it was still there after {self.limits.wall:g} s"
            pids = descendants(os.getpid())
            if len(pids) > self.limits.processes:
                return f"it started more than {self.limits.processes} processes"
            if self._memory(pids) > self.limits.memory:
                return f"it used more than {self.limits.memory // MEBIBYTE} MiB of memory"
            if (status := self._reap()) is not None:
                return _what_happened(status)

    def _answer(self, order: dict[str, str]) -> None:
        if order["op"] == "listen":
            with listening_socket(0) as sock:
                self.control.send({}, sock)
        elif order["op"] == "memory":
            self.control.send({"memory": self._memory(descendants(os.getpid()))})

    def _memory(self, pids: list[int]) -> int:
        """Memory that processes took since they were forked, in bytes."""
        return sum(max(0, size - self.shared) for size in memory_of(pids))

    def _reap(self) -> int | None:
        """Collect what ended; the exit status of the learner's process, once it has one."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == self.learner:
                return os.waitstatus_to_exitcode(status)
            if pid == 0:
                return None


def _what_happened(status: int) -> str:
    if status >= 0:
        return f"it ended itself with exit status {status}"
    return f"it ended with {signal.Signals(-status).name}"


def _become_learner(sandbox: Sandbox, home: str, sock: socket.socket, *, fresh: bool) -> NoReturn:
    try:
        # The one handle that it keeps beside standard input and output, which lead nowhere.
        os.dup2(sock.detach(), 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        os.environ.update(HOME=home, TMPDIR=home)
        sandbox.restrict(home)
        if fresh:
            os.set_inheritable(3, True)
            os.environ["PYTHONHASHSEED"] = "random"
            command = [sys.executable, "-P", "-m", "wirelab.grading.learner", "3"]
            os.execv(command[0], command)
        from . import learner

        learner.main(Channel(socket.socket(fileno=3)))
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
