"""The checks of the labs: what they ask, how they judge, and what they need from whoever runs a learner's work.

A lab is judged over the wire. A check never sees the learner's objects: it talks to the learner's server, or plays
the server to the learner's client, through a real socket from another process. Three parties meet here:

* a **lab** (one module of this package each) holds exercises, their hints and their checks;
* a **target** stands for one submission and starts its deliverables, afresh each time: the grader has one that
  isolates them, the notebook has one that forks the kernel (``wirelab.checks.local``);
* a **result** says of one check whether it passed, with a message a beginner can act on.

    lab = LABS["01_todo_api"]
    for name in lab.exercises:
        results = await lab.run(name, target)

``Lab.run`` never raises because of what a deliverable does and returns within the exercise's deadline. While a
submission is graded, the environment of its process holds ``GRADING_VARIABLE``: then ``wirelab.lab`` stays silent,
and check cells cost nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias

GRADING_VARIABLE = "WIRELAB_GRADING"

Kind: TypeAlias = Literal["asgi", "asgi_factory", "websocket", "function"]
"""What a deliverable is: an ASGI application, a function that returns one, a handler for
``websockets.asyncio.server.serve``, or a function (plain, async, async generator, async context manager)."""


# What a check meets: one submission, started as often as an exercise asks.


class NotStarted(Exception):
    """A deliverable could not be started: it is missing, no application, broken. Its text is for learners."""


class RemoteError(Exception):
    """The learner's function raised, in its own process.

    Attributes:
        names: the names of the exception's classes, most special first, as in ``("ConnectionClosedError",
            "ConnectionClosed", "WebSocketException", "Exception", "BaseException", "object")``.
        text: ``str()`` of the exception.
    """

    def __init__(self, names: tuple[str, ...], text: str) -> None:
        """Name the classes of the exception, most special first, and give its text."""
        super().__init__(f"{names[0]}: {text}")
        self.names = names
        self.text = text


class Served(Protocol):
    """A deliverable that serves, in a process of its own, ready for its first connection."""

    @property
    def http(self) -> str:
        """Base URL, ``http://127.0.0.1:PORT``, no slash at the end."""

    @property
    def ws(self) -> str:
        """Base URL, ``ws://127.0.0.1:PORT``, no slash at the end."""

    async def errors(self) -> list[str]:
        """What the deliverable raised so far, one line each, oldest first, as far as known. For messages only."""

    async def memory(self) -> int | None:
        """Resident memory of its process in bytes; None where the system does not tell."""

    async def kill(self) -> None:
        """End its process at once, as a crash would: no close frames, no goodbye."""


class RemoteIterator(Protocol):
    """An async generator that runs in the learner's process: each item is asked for when it is awaited.

    ``anext`` after the end asks the learner's generator again, so that a check can see whether it stays ended.
    """

    def __aiter__(self) -> AsyncIterator[Any]:
        """Itself."""

    async def __anext__(self) -> Any:
        """The next item."""

    async def aclose(self) -> None:
        """Close the generator, as ``async for`` with a ``break`` and ``aclose`` would."""


class RemoteValue(Protocol):
    """What an async context manager in the learner's process gave for its ``as``."""

    async def value(self) -> Any:
        """A copy of the value as it is now."""


class Target(Protocol):
    """One submission. Every call starts from a state in which only the submission's own cells have run.

    Arguments and results are JSON values (a tuple arrives as a list, keys as strings). Each method raises
    ``NotStarted`` when the deliverable cannot be started, ``RemoteError`` when the learner's function raises.
    Deadlines are the caller's: cancelling the awaiting task cancels what runs in the learner's process. Whoever
    made the target ends every process that it started.
    """

    def serve(
        self, name: str, *args: Any, own_interpreter: bool = False, **options: Any
    ) -> AbstractAsyncContextManager[Served]:
        """Start the deliverable in a fresh process of its own and serve it on a free loopback port.

        Args:
            name: the deliverable; how it is served follows from its kind in ``Lab.deliverables``.
            args: for an ``asgi_factory``, what the function is called with. An async function among them is
                called first, with a listening socket in the network of this process, and stands for what it
                returns: the address of something that a check serves there.
            own_interpreter: also start the interpreter afresh, with another seed for ``hash()``.
            options: go to ``websockets.asyncio.server.serve`` (``ping_interval=1``) or to ``uvicorn.Config``.
        """

    async def listen(self) -> socket.socket:
        """Make a listening socket on a free port of 127.0.0.1, for a check that plays the server.

        It is in the learner's network, which need not be the machine's.
        """

    async def call(self, name: str, *args: Any) -> Any:
        """Call a function, plain or async, in the target's process for calls; return what it returned.

        That process is started at the first ``call``, ``iterate`` or ``enter`` and serves the later ones too, and
        those that come while it starts.
        """

    def iterate(self, name: str, *args: Any) -> RemoteIterator:
        """Call an async generator function in the process for calls."""

    def enter(self, name: str, *args: Any) -> AbstractAsyncContextManager[RemoteValue]:
        """Enter an async context manager in the process for calls."""


# What a lab is made of.

# How the message of a check begins that is at fault itself: the submission was not judged.
BROKE = "Could not run: the check itself broke"


class Failed(Exception):
    """What a check raises when the deliverable is wrong. Its text: what was sent, got and expected."""


class CannotJudge(Exception):
    """What a check raises when something outside its row is missing. Its text says what."""


class NotAttempted(CannotJudge):
    """What a check raises when the deliverable does not have this part yet. Its text says how that shows."""


@dataclass(frozen=True)
class Result:
    """The outcome of one check; ``passed`` is None if it was not attempted or could not run."""

    id: str
    passed: bool | None
    score: float
    points: float
    message: str
    hint: str


@dataclass(frozen=True)
class Check:
    """One thing that a deliverable must do.

    Attributes:
        id: ``EXERCISE`` or ``EXERCISE.DETAIL``.
        points: its share of the lab's ten.
        expects: one sentence on what is sent and what must come back; the same in every run.
        why: one sentence on why it matters.
        judge: raises ``Failed``, ``NotAttempted`` or ``CannotJudge``; when all is well it returns, with a sentence
            on what it could not look at, if there is such a thing.
    """

    id: str
    points: float
    expects: str
    why: str
    judge: Callable[[Any], Awaitable[str | None]]

    def result(self, passed: bool | None, message: str, hint: str = "") -> Result:
        """Make the result of this check: all of its points, or none."""
        return Result(self.id, passed, self.points if passed else 0.0, self.points, message, hint)


@dataclass(frozen=True)
class Exercise:
    """Checks that share one freshly started deliverable.

    Attributes:
        title: a few words for headings and tables.
        hints: three, from a nudge to almost the answer.
        needs: the deliverables that it starts, in the order in which ``lab.check`` takes them.
        opens: from the target, what the checks are handed (a client of the served deliverable, say).
        untouched: raises ``NotAttempted`` if nobody has begun to write what the exercise asks for, or
            ``CannotJudge`` if something outside of it is missing.
        deadline: seconds for all of its checks together.
    """

    name: str
    title: str
    hints: tuple[str, str, str]
    checks: tuple[Check, ...]
    needs: tuple[str, ...]
    opens: Callable[[Target], AbstractAsyncContextManager[Any]]
    untouched: Callable[[Any], Awaitable[None]]
    deadline: float = 30.0

    @property
    def points(self) -> float:
        """The sum of its checks' points."""
        return sum(check.points for check in self.checks)


@dataclass(frozen=True)
class Lab:
    """A lab: what a submission must define, and the exercises that judge it."""

    name: str
    title: str
    deliverables: Mapping[str, Kind]
    exercises: Mapping[str, Exercise]

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check, in the lab's order."""
        return tuple(check for exercise in self.exercises.values() for check in exercise.checks)

    @property
    def points(self) -> float:
        """Ten."""
        return sum(check.points for check in self.checks)

    async def run(self, exercise: str, target: Target) -> list[Result]:
        """Judge one exercise; one result for each of its checks, in order, whatever happens."""
        asked = self.exercises[exercise]
        results: list[Result] = []
        try:
            async with asyncio.timeout(asked.deadline), asked.opens(target) as subject:
                # An exercise that fails its first look was attempted; its checks say what is wrong.
                with contextlib.suppress(Failed):
                    await asked.untouched(subject)
                for check in asked.checks:
                    results.append(await _judge(check, subject, asked.hints[0]))
            return results
        except TimeoutError:
            reason = f"Could not run: the {asked.deadline:g} seconds of this exercise were over."
        except Exception as fault:
            reason = _why_not_run(fault)
        return results + [check.result(None, reason, asked.hints[0]) for check in asked.checks[len(results) :]]

    def not_run(self, exercise: str, reason: str) -> list[Result]:
        """The results of an exercise for which there is not even a target; `reason` is for learners."""
        asked = self.exercises[exercise]
        return [check.result(None, reason, asked.hints[0]) for check in asked.checks]


async def _judge(check: Check, subject: Any, hint: str) -> Result:
    try:
        note = await check.judge(subject)
    except Failed as fault:
        return check.result(False, str(fault), hint)
    except Exception as fault:
        return check.result(None, _why_not_run(fault), hint)
    return check.result(True, f"As expected: {check.expects}" + (f" {note}" if note else ""))


def _why_not_run(fault: Exception) -> str:
    match fault:
        case NotAttempted():
            return f"Not attempted: {fault}"
        case CannotJudge() | NotStarted():
            return f"Could not run: {fault}"
    return f"{BROKE}, please report it ({type(fault).__name__}: {fault})."


class _Labs(Mapping[str, Lab]):
    """The labs by name; a lab's module is imported when it is first asked for."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = MappingProxyType(dict(modules))

    def module_of(self, name: str) -> str:
        """The module of this package that holds a lab."""
        return self._modules[name]

    def __getitem__(self, name: str) -> Lab:
        lab = importlib.import_module(f"{__name__}.{self.module_of(name)}").LAB
        assert isinstance(lab, Lab)
        return lab

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


LABS = _Labs(
    {
        "01_todo_api": "todo_api",
        "02_price_stream": "price_stream",
        "03_latency": "latency",
        "04_staleness": "staleness",
        "05_rest_in_practice": "rest_in_practice",
        "06_reliable_feed": "reliable_feed",
        "07_secure_feed": "secure_feed",
        "08_live_board": "live_board",
        "09_many_workers": "many_workers",
    }
)
