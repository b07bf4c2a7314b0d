"""One submission while it is graded: its process, copies of it, and the target that the lab's checks meet."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from .._background import listening_socket
from ..checks import Lab, NotStarted
from ..checks.remote import Calls, settled
from ..checks.targets import CallingTarget, RemoteServer, start_server, texts
from .crew import Crew, CrewError, Process
from .submission import Submission

# Seconds beyond their own limit until cells that do not end are given up.
CELLS_GRACE = 3.0
# Seconds for what a process that has its wits about it does at once.
ANSWER_DEADLINE = 5.0


class Learner:
    """A process in which the submission's cells have run. What it says of itself is only for messages.

    Attributes:
        reusable: it can be copied for each exercise; otherwise it can be used once.
        faults: what went wrong in its cells.
    """

    def __init__(self, process: Process, said: dict[str, Any], *, reusable: bool) -> None:
        self.process = process
        self.reusable = reusable and said.get("forks") is True
        self.faults = texts(said.get("faults"))
        self._missing = texts(said.get("missing"))
        self._numbers = itertools.count(1)

    def demand(self, name: str) -> None:
        """See that a deliverable is there.

        Raises:
            NotStarted: the cells did not define it.
        """
        if name in self._missing:
            raise NotStarted(" ".join([f"the submission defines no {name}.", *self.faults[:1]]))

    def copy(self, order: dict[str, Any], *sockets: socket.socket) -> int:
        """Have a copy answer on the first of the sockets; return its number.

        Raises:
            NotStarted: the process is gone, or does not listen.
        """
        number = next(self._numbers)
        try:
            self.process.channel.send({"op": "start", "number": number, **order}, *sockets)
        except OSError:
            raise NotStarted(f"its process is gone: {self.process.why()}.") from None
        return number

    def end_copy(self, number: int) -> None:
        """End a copy and what it started."""
        if self.reusable:
            with contextlib.suppress(OSError):
                self.process.channel.send({"op": "end", "number": number})
        else:
            self.process.end()

    async def kill_copy(self, number: int) -> None:
        """End a copy and what it started, and wait until it is gone."""
        self.end_copy(number)
        if self.reusable:
            with contextlib.suppress(OSError, EOFError, ValueError):
                self.process.channel.send({"op": "report"})
                async with asyncio.timeout(ANSWER_DEADLINE):
                    await _readable(self.process.channel.sock)
                self.process.channel.receive()


class Session:
    """A submission's processes; in an ``async with``, which ends them all.

    Attributes:
        faults: what went wrong in its cells, one line for each.
        deaths: how its processes died.
        deadline: when its time is over, on the event loop's clock.
        trouble: what kept the grader from starting a process; then the results say nothing of the submission.
    """

    def __init__(self, crew: Crew, submission: Submission, lab: Lab) -> None:
        self.crew = crew
        self.submission = submission
        self.lab = lab
        self.faults: list[str] = []
        self.deaths: list[str] = []
        self.trouble: CrewError | None = None
        self._hopeless = ""
        self._shared: Learner | None = None
        # Held while the process that is copied is looked for: those who ask at once get the same one.
        self._looking = asyncio.Lock()

    async def __aenter__(self) -> Session:
        """Start nothing but the clock."""
        self.deadline = asyncio.get_running_loop().time() + self.crew.limits.wall
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the submission's processes."""
        if self._shared:
            self._bury(self._shared)

    @contextlib.asynccontextmanager
    async def copy(
        self, name: str = "", *sockets: socket.socket, fresh: bool = False, **order: Any
    ) -> AsyncIterator[tuple[Calls, Learner, int]]:
        """A process of its own in which only the submission's own cells have run, ready to be asked.

        Raises:
            NotStarted: there is none, or the submission does not define `name`, if one is given.
        """
        learner, number = await self._learner(fresh=fresh), 0
        here, there = socket.socketpair()
        try:
            with there:
                learner.demand(name)
                number = learner.copy({"name": name, **order}, there, *sockets)
            async with Calls(here) as calls:
                yield calls, learner, number
        finally:
            here.close()
            learner.end_copy(number)

    async def _learner(self, *, fresh: bool) -> Learner:
        """A process that can be copied, or that nobody has used."""
        if fresh:
            return await self._start(fresh=True)
        async with self._looking:
            if self._shared and self._shared.process.over():
                self._bury(self._shared)
                self._shared = None
            learner = self._shared or await self._start(fresh=False)
            self._shared = learner if learner.reusable else None
            return learner

    def _bury(self, learner: Learner) -> None:
        if learner.process.over():
            self.deaths.append(f"its process died: {learner.process.why()}")
        learner.process.end()

    async def _start(self, *, fresh: bool) -> Learner:
        if self._hopeless:
            raise NotStarted(self._hopeless)
        try:
            process = self.crew.start(fresh=fresh)
        except CrewError as exc:
            self.trouble = exc
            raise NotStarted(f"{exc}.") from exc
        try:
            said = await self._run_cells(process, reusable=not fresh)
        except BaseException as exc:
            why = process.why() if isinstance(exc, EOFError) or process.over() else str(exc)
            process.end()
            if not isinstance(exc, OSError | EOFError | ValueError):
                raise
            # It would end in the same way for each exercise.
            self._hopeless = f"its cells did not run to their end: {why}."
            raise NotStarted(self._hopeless) from None
        learner = Learner(process, said, reusable=not fresh)
        self.faults = [f"in {fault}" for fault in learner.faults]
        return learner

    async def _run_cells(self, process: Process, *, reusable: bool) -> dict[str, Any]:
        limits = self.crew.limits
        process.channel.send(
            {
                "cells": self.submission.cells,
                "source": self.submission.source,
                "cell_seconds": limits.cell,
                "cells_seconds": limits.cells,
                "deliverables": list(self.lab.deliverables),
                "reusable": reusable,
            }
        )
        try:
            async with asyncio.timeout(limits.cells + CELLS_GRACE):
                await _readable(process.channel.sock)
        except TimeoutError:
            raise TimeoutError(f"they were still running after {limits.cells:g} s") from None
        process.channel.sock.settimeout(ANSWER_DEADLINE)
        return process.channel.receive()[0]


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


class SandboxTarget(CallingTarget):
    """The deliverables of one submission for the checks of one exercise; see ``wirelab.checks.Target``."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._learner: Learner | None = None

    @contextlib.asynccontextmanager
    async def serve(
        self, name: str, *args: Any, own_interpreter: bool = False, **options: Any
    ) -> AsyncIterator[SandboxServer]:
        """See ``Target``. The grader makes the socket and hands it over."""
        kind = self._session.lab.deliverables[name]
        with listening_socket(0) as listener:
            port = listener.getsockname()[1]
            async with self._session.copy(name, listener, fresh=own_interpreter, kind=kind) as running:
                # From here on only the learner's process holds it: nobody is let in when that is gone.
                listener.close()
                given = await settled(args, partial(_listener_of, running[1]))
                await start_server(name, running[0], given, options)
                yield SandboxServer(port, *running)

    async def listen(self) -> socket.socket:
        """A listening socket on a free port of the loopback that the deliverables see."""
        await self._started()
        assert self._learner
        return _listener_of(self._learner)

    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncIterator[Calls]:
        async with self._session.copy() as (calls, self._learner, _):
            yield calls

    async def _reach(self, name: str) -> Calls:
        calls = await self._started()
        assert self._learner
        self._learner.demand(name)
        return calls


def _listener_of(learner: Learner) -> socket.socket:
    """A listening socket in a learner's network."""
    try:
        return learner.process.listen()
    except (OSError, EOFError) as exc:
        raise NotStarted("its process is gone.") from exc


class SandboxServer(RemoteServer):
    """A deliverable that serves in a learner's process; see ``Served``."""

    def __init__(self, port: int, calls: Calls, learner: Learner, number: int) -> None:
        super().__init__(port, calls)
        self._learner = learner
        self._number = number

    async def memory(self) -> int | None:
        """See ``Served``; all processes of the submission together."""
        return self._learner.process.memory()

    async def kill(self) -> None:
        """See ``Served``."""
        await self._learner.kill_copy(self._number)
