"""The grader's side of the clean process: a crew starts one process for each submission.

Where processes fork, a crew keeps one clean process to fork from; elsewhere each submission gets a fresh one.
"""

from __future__ import annotations

import base64
import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from dataclasses import asdict
from typing import Any, Protocol, cast

from .._background import listening_socket
from ..checks import GRADING_VARIABLE
from .channel import Channel
from .limits import MEBIBYTE, Limits
from .sandbox import Isolation

# Seconds until a process that should be there is given up: imports on a busy machine take a while.
START_DEADLINE = 60.0
# Seconds that a submission's processes get to be gone.
END_DEADLINE = 10.0
# Bytes of the longest message that the grader takes from a learner's process.
MESSAGE_LIMIT = MEBIBYTE
# How often a submission is started again because the clean process was gone.
ATTEMPTS = 3

# What a submission's environment keeps of the grader's: where programs and modules are, language and time zone.
KEPT_VARIABLES = (
    *("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "SYSTEMROOT"),
    *("LANG", "LC_ALL", "LC_CTYPE", "TZ"),
)
SET_VARIABLES = {
    GRADING_VARIABLE: "1",
    # Each thread would reserve address space for a heap of its own, which the memory limit counts.
    "MALLOC_ARENA_MAX": "2",
    "MPLBACKEND": "agg",
    # Threads would keep the process from being forked.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Also keeps macOS from asking its proxy settings, which a forked process cannot.
    "no_proxy": "*",
}
# Without the current folder among the places for modules: it may hold submissions.
PYTHON = (sys.executable, "-P", "-m")


class CrewError(RuntimeError):
    """No process can be started for submissions. The text says why."""


class Process(Protocol):
    """A learner's process, ready for its submission.

    Attributes:
        channel: what the grader says to it, and hears from it. Nothing heard is to be trusted.
    """

    channel: Channel

    def wait_until_ready(self) -> None:
        """Wait until it is there.

        Raises:
            EOFError, OSError: it is not.
        """

    def over(self) -> bool:
        """Whether it has ended."""

    def why(self) -> str:
        """What ended it, if that is known."""

    def listen(self) -> socket.socket:
        """A socket on a free loopback port, as the process sees it, for a server that the grader plays."""

    def memory(self) -> int | None:
        """Resident memory of all the submission's processes, in bytes, if that is known."""

    def hang_up(self) -> None:
        """Let it be ended; for another thread than the one that waits for it."""

    def end(self) -> None:
        """End it and everything that it started; once more does nothing."""


class Crew:
    """Starts processes for submissions; safe to use from many threads; use it in a ``with``.

    Args:
        limits: for each submission.
        fork: keep a clean process to fork from; by default where there is one.
        isolation: the name of an ``Isolation`` instead of the best that is to be had.

    Attributes:
        isolation: the name of the ``Isolation`` that is in force, once a process was started.
        reason: why it is no stronger one.
    """

    def __init__(self, limits: Limits, *, fork: bool = hasattr(os, "fork"), isolation: str | None = None) -> None:
        self.limits = limits
        self.isolation = isolation if fork else Isolation.PROCESSES.name
        self.reason = "" if fork else "no fork"
        self._fork = fork
        self._folder = tempfile.mkdtemp(prefix="wirelab-")
        # Reentrant: whoever holds it asks whether the crew is open.
        self._lock = threading.RLock()
        self._processes: weakref.WeakSet[Any] = weakref.WeakSet()
        self._zygote: tuple[subprocess.Popen[bytes], Channel] | None = None
        self._closed = False
        # Others pass through it to the folders of their submissions.
        os.chmod(self._folder, 0o711)

    def __enter__(self) -> Crew:
        """Start nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self.close()

    def start(self, *, fresh: bool = False) -> Process:
        """Start a process.

        Args:
            fresh: with an interpreter started afresh, which has another seed for ``hash()``.

        Raises:
            CrewError: that is not possible.
        """
        for _ in range(ATTEMPTS):
            process: Process = self._forked(fresh=fresh) if self._fork else Direct(self._home())
            with self._lock:
                self._processes.add(process)
                if self._closed:
                    process.hang_up()
            try:
                process.wait_until_ready()
            except (OSError, EOFError):
                process.end()
            else:
                return process
        raise CrewError(f"no process for the submission: {process.why()}")

    def prepare(self) -> None:
        """Start the clean process, if there is none.

        Raises:
            CrewError: that is not possible.
        """
        with self._lock:
            self.demand_open()
            if self._fork:
                self._running()

    def demand_open(self) -> None:
        """See that the crew was not closed: what comes of a grading after that is worth nothing.

        Raises:
            CrewError: it was.
        """
        with self._lock:
            if self._closed:
                raise CrewError("the grading was ended")

    def _home(self) -> str:
        """A new folder for a submission."""
        with self._lock:
            self.demand_open()
            return tempfile.mkdtemp(dir=self._folder)

    def close(self) -> None:
        """End every process; whoever still uses one finds it ended."""
        with self._lock:
            self._closed = True
            if self._zygote:
                self._end_zygote(*self._zygote)
                self._zygote = None
            for process in self._processes:
                process.hang_up()
        _remove(self._folder)

    def _order(self, message: dict[str, Any], *sockets: socket.socket) -> None:
        with self._lock:
            self.demand_open()
            for _ in range(2):
                try:
                    return self._running().send(message, *sockets)
                except OSError:
                    # A submission has killed it.
                    assert self._zygote
                    self._end_zygote(*self._zygote)
                    self._zygote = None
            raise CrewError("the clean process ends again and again")

    def _running(self) -> Channel:
        if self._zygote is None:
            here, there = socket.socketpair()
            child = subprocess.Popen(
                [*PYTHON, "wirelab.grading.zygote", str(there.fileno()), self._folder],
                env=environment(self._folder),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
                start_new_session=True,
            )
            there.close()
            here.settimeout(START_DEADLINE)
            channel = Channel(here)
            try:
                self.isolation, self.reason = self._first_answer(channel)
            except BaseException:
                self._end_zygote(child, channel)
                raise
            self._zygote = child, channel
        return self._zygote[1]

    def _first_answer(self, channel: Channel) -> tuple[str, str]:
        """The isolation that the clean process can give, and why no stronger one; then it is ready."""
        try:
            channel.send({"limits": asdict(self.limits), "isolation": self.isolation})
            answer, _ = channel.receive()
        except (EOFError, OSError) as exc:
            raise CrewError("the clean process did not start") from exc
        if "failed" in answer:
            raise CrewError(f"the clean process did not start: {answer['failed']}")
        return answer["isolation"], answer["reason"]

    def _end_zygote(self, child: subprocess.Popen[bytes], channel: Channel) -> None:
        channel.close()
        child.kill()
        child.wait()

    def _forked(self, *, fresh: bool) -> Forked:
        process = Forked(self._home())
        self._order({"folder": process.home, "fresh": fresh}, *process.other_ends)
        return process


class Forked:
    """A process forked from the clean one, with a supervisor that is out of the learner's reach."""

    def __init__(self, home: str) -> None:
        self.home = home
        here, there = socket.socketpair()
        control, its_control = socket.socketpair()
        for sock in (here, control):
            sock.settimeout(START_DEADLINE)
        self.other_ends = (its_control, there)
        self.channel = Channel(here, MESSAGE_LIMIT, takes_sockets=False)
        self._control = Channel(control)
        self._why = ""
        self._group = 0
        self._ended = False

    def wait_until_ready(self) -> None:
        """See `Process`. The supervisor says so."""
        for sock in self.other_ends:
            sock.close()
        self._group = self._hear()["group"]

    def _hear(self) -> dict[str, Any]:
        message, sockets = self._control.receive()
        if "ended" in message:
            self._why = message["ended"]
            raise EOFError(self._why)
        return {**message, "sockets": sockets}

    def over(self) -> bool:
        """See `Process`."""
        if self._ended:
            return True
        poll = select.poll()
        poll.register(self._control.sock, select.POLLIN)
        return bool(poll.poll(0))

    def why(self) -> str:
        """See `Process`."""
        if not self._why and not self._ended:
            with contextlib.suppress(OSError, EOFError):
                self._control.sock.settimeout(1.0)
                self._hear()
        return self._why or "it was ended"

    def listen(self) -> socket.socket:
        """See `Process`."""
        self._control.send({"op": "listen"})
        return cast(socket.socket, self._hear()["sockets"][0])

    def memory(self) -> int | None:
        """See `Process`."""
        self._control.send({"op": "memory"})
        return cast(int, self._hear()["memory"])

    def hang_up(self) -> None:
        """Have the supervisor end everything; for another thread than the one that waits for it."""
        with contextlib.suppress(OSError):
            self._control.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.channel.sock.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """See `Process`."""
        if self._ended:
            return
        self._ended = True
        self.channel.close()
        with contextlib.suppress(OSError, EOFError):
            self._control.sock.shutdown(socket.SHUT_WR)
            self._control.sock.settimeout(END_DEADLINE)
            while not self._why:
                self._hear()
        # The supervisor closes its end when all is over.
        with contextlib.suppress(OSError, EOFError):
            self._hear()
        if not self._why and self._group:
            # The supervisor itself was killed: what it watched is out of hand.
            with contextlib.suppress(OSError):
                os.killpg(self._group, signal.SIGKILL)
        self._control.close()
        _remove(self.home)


class Direct:
    """A process started afresh, for systems without fork: nothing holds it but its own process group."""

    def __init__(self, home: str) -> None:
        self.home = home
        here, there = socket.socketpair()
        here.settimeout(START_DEADLINE)
        posix = os.name == "posix"
        command = [*PYTHON, "wirelab.grading.learner"]
        options: dict[str, Any] = (
            {"pass_fds": [there.fileno()], "start_new_session": True}
            if posix
            else {"creationflags": subprocess.__dict__["CREATE_NEW_PROCESS_GROUP"]}
        )
        with there:
            self._child = subprocess.Popen(
                [*command, str(there.fileno())] if posix else command,
                env=environment(self.home),
                cwd=self.home,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **options,
            )
            assert self._child.stdin
            with self._child.stdin as pipe:
                if not posix:
                    pipe.write(base64.b64encode(there.share(self._child.pid)))  # type: ignore[attr-defined]
        self.channel = Channel(here, MESSAGE_LIMIT, takes_sockets=False, peer=self._child.pid)

    def wait_until_ready(self) -> None:
        """See `Process`. It is, as soon as it is there."""

    def over(self) -> bool:
        """See `Process`."""
        return self._child.poll() is not None

    def why(self) -> str:
        """See `Process`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"it ended with status {self._child.wait(1.0)}"
        return "it was ended"

    def listen(self) -> socket.socket:
        """See `Process`."""
        return listening_socket(0)

    def memory(self) -> int | None:
        """See `Process`."""
        return None

    def hang_up(self) -> None:
        """End it; for another thread than the one that waits for it."""
        self._child.kill()

    def end(self) -> None:
        """See `Process`."""
        self.channel.close()
        if self._child.poll() is None:
            if os.name == "posix":
                os.killpg(self._child.pid, signal.SIGKILL)
            else:
                kill_tree = ["taskkill", "/F", "/T", "/PID", str(self._child.pid)]
                subprocess.run(kill_tree, capture_output=True, check=False)
            self._child.wait()
        _remove(self.home)


def _remove(folder: str) -> None:
    # Not TemporaryDirectory.cleanup: it may change the mode of what a link in there leads to (CVE-2023-6597).
    shutil.rmtree(folder, ignore_errors=True)


def environment(home: str) -> dict[str, str]:
    """The environment of a process that runs a submission: nothing of the grader's but what Python needs."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    homes = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), home)
    return kept | SET_VARIABLES | homes
