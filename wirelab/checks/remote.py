"""Reach a learner's objects that live in another process: serve them there, call them there.

Both sides talk JSON lines over a pair of connected sockets. The asking side trusts nothing that comes back: no
pickles, and no line above ``LINE_LIMIT`` bytes.

In the process of the learner's code::

    await answer_calls({"follow": follow}, sock)                  # until the asking side hangs up
    await answer_calls(serving(app, "asgi", listener), sock)      # the same for a server, see `serving`

In the process of the checks::

    async with Calls(sock) as calls:
        async for update in calls.iterate("follow", uri, token, symbol): ...
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Self

from wirelab._engines import StartFailed, engine_for
from wirelab._faults import describe_error
from wirelab.checks import Kind, NotStarted, RemoteError

# Bytes of the longest message that either side takes.
LINE_LIMIT = 2**20
# How many errors of a server are kept, and how long (in characters) the description of one may be.
ERRORS_KEPT = 20
ERROR_LENGTH = 500

# In the process of the learner's code.


def serving(deliverable: Any, kind: Kind, listener: socket.socket) -> dict[str, Callable[..., Any]]:
    """What a process that serves a deliverable answers: ``start(args, options)`` and ``errors()``.

    Args:
        deliverable: an ASGI application, a function that makes one, or a websockets handler.
        kind: which of them it is.
        listener: the bound socket to serve on.
    """
    errors: list[str] = []
    # The event loop holds tasks by weak references only.
    kept: list[Any] = []

    def record(error: BaseException) -> None:
        if len(errors) < ERRORS_KEPT:
            errors.append(describe_error(error)[:ERROR_LENGTH])

    def record_lost(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # What a task raised that nobody awaited.
        if isinstance(context.get("exception"), Exception):
            record(context["exception"])

    async def start(args: list[Any], options: dict[str, Any]) -> None:
        asyncio.get_running_loop().set_exception_handler(record_lost)
        app = deliverable(*args) if kind == "asgi_factory" else deliverable
        engine = engine_for(app, record, None, options)
        await engine.start(listener)

        async def tick() -> None:
            try:
                while True:
                    await engine.tick()
                    await asyncio.sleep(1)
            finally:
                await engine.stop()

        kept.extend((engine, asyncio.ensure_future(tick())))

    return {"start": start, "errors": lambda: errors}


async def answer_calls(functions: Mapping[str, Any], sock: socket.socket) -> None:
    """Do what the asking side asks for, until it hangs up."""
    reader, writer = await asyncio.open_connection(sock=sock, limit=LINE_LIMIT)
    lines: dict[int, _Line] = {}
    try:
        while text := await reader.readline():
            order = json.loads(text)
            if order["line"] not in lines:
                lines[order["line"]] = _Line(functions, writer)
            lines[order["line"]].take(order)
    finally:
        for line in lines.values():
            line.task.cancel()
        writer.close()


class _Line:
    """One call, generator or context manager, with what is asked of it, one thing after the other.

    All of it happens in one task: a time limit or task group that is entered in one step is left in another.
    """

    def __init__(self, functions: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        self._functions = functions
        self._writer = writer
        self._orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._dropped = False
        self._held: Any = None
        self._manager: Any = None
        self.task = asyncio.ensure_future(self._run())

    def take(self, order: dict[str, Any]) -> None:
        if order["do"] == "drop":
            self._dropped = True
            self.task.cancel()
        else:
            self._orders.put_nowait(order)

    async def _run(self) -> None:
        while True:
            order = await self._orders.get()
            try:
                reply = await self._obey(order)
                text = json.dumps({"id": order["id"], **reply}, default=_plain)
            except asyncio.CancelledError as error:
                if not self._dropped:
                    raise
                # Only this step was given up: the generator can still be closed.
                self._dropped = False
                self.task.uncancel()
                text = json.dumps({"id": order["id"], **_raised(error)})
            except StopAsyncIteration:
                text = json.dumps({"id": order["id"], "end": True})
            except BaseException as error:
                text = json.dumps({"id": order["id"], **_raised(error)})
            self._writer.write(text.encode() + b"\n")
            await self._writer.drain()

    async def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "call":
                return {"value": await _call(self._function(order), order["args"])}
            case "iterate":
                self._held = _iterator(self._function(order)(*order["args"]), order["name"])
            case "next":
                return {"value": await anext(self._held)}
            case "aclose":
                await self._held.aclose()
            case "enter":
                self._manager = self._function(order)(*order["args"])
                self._held = await self._manager.__aenter__()
            case "value":
                return {"value": self._held}
            case "exit":
                await self._manager.__aexit__(None, None, None)
        return {"value": None}

    def _function(self, order: dict[str, Any]) -> Any:
        try:
            return self._functions[order["name"]]
        except KeyError:
            raise NotStarted(f"there is no {order['name']}().") from None


async def _call(function: Any, args: list[Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args)
    # A plain function may block; the loop goes on reading, so that the call can be given up.
    value = await asyncio.to_thread(function, *args)
    return await value if inspect.isawaitable(value) else value


def _plain(value: Any) -> Any:
    """What JSON has no name for, but has all the same: numpy's arrays and numbers."""
    if not hasattr(value, "tolist"):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return value.tolist()


def _iterator(made: Any, name: str) -> Any:
    if not hasattr(made, "__aiter__"):
        raise TypeError(f"{name}() gave a {type(made).__name__}, not an async generator")
    return aiter(made)


def _raised(error: BaseException) -> dict[str, Any]:
    kind = "refused" if isinstance(error, NotStarted | StartFailed) else "raised"
    return {kind: [cls.__name__ for cls in type(error).__mro__], "text": str(error)[:10_000]}


# In the process of the checks.


async def settled(args: tuple[Any, ...], listen: Callable[[], socket.socket]) -> list[Any]:
    """The arguments of ``Target.serve``: each function among them gets a listening socket and gives the value."""
    return [await arg(listen()) if callable(arg) else arg for arg in args]


class Calls:
    """The learner's functions, to be called from here; implements the calling half of ``Target``.

    Args:
        sock: connected to a process that runs ``answer_calls``.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Prepare; the connection is used from ``async with`` on."""
        self._sock = sock
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._gone = False

    async def __aenter__(self) -> Self:
        """Begin to listen for replies."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._sock, limit=LINE_LIMIT)
        self._listening = asyncio.ensure_future(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        self._listening.cancel()
        self._writer.close()

    async def call(self, name: str, *args: Any) -> Any:
        """See ``Target``."""
        return (await self.ask(self.new_line(), "call", name=name, args=args))["value"]

    def iterate(self, name: str, *args: Any) -> RemoteGenerator:
        """See ``Target``."""
        return RemoteGenerator(self._ready, name, args)

    @contextlib.asynccontextmanager
    async def enter(self, name: str, *args: Any) -> AsyncIterator[EnteredValue]:
        """See ``Target``."""
        line = self.new_line()
        await self.ask(line, "enter", name=name, args=args)
        try:
            yield EnteredValue(self, line)
        finally:
            await self.ask(line, "exit")

    def new_line(self) -> int:
        """A number for one call, generator or context manager and all that is asked of it."""
        return next(self._numbers)

    async def _ready(self) -> Calls:
        return self

    async def ask(self, line: int, do: str, **what: Any) -> dict[str, Any]:
        """Send one order and wait for its reply.

        Raises:
            NotStarted: there is no such function, or the server did not start.
            RemoteError: the learner's code raised, or its process ended.
        """
        if self._gone:
            raise _process_ended()
        number = next(self._numbers)
        reply = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send(id=number, line=line, do=do, **what)
        try:
            return _read(await reply)
        except asyncio.CancelledError:
            self._send(line=line, do="drop")
            raise
        finally:
            del self._waiting[number]

    def _send(self, **order: Any) -> None:
        self._writer.write(json.dumps(order).encode() + b"\n")

    async def _listen(self) -> None:
        try:
            while text := await self._reader.readline():
                reply = json.loads(text)
                waiting = self._waiting.get(reply["id"])
                if waiting and not waiting.done():
                    waiting.set_result(reply)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            # What comes from the learner's process may be anything; a garbled reply ends the conversation.
            pass
        self._gone = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(_process_ended())


class RemoteGenerator(AsyncIterator[Any]):
    """An async generator in the learner's process; see ``RemoteIterator``.

    Args:
        reach: connects to that process, if need be.
        name: the function to call, once the first item is asked for.
        args: what to call it with.
    """

    def __init__(self, reach: Callable[[], Awaitable[Calls]], name: str, args: tuple[Any, ...]) -> None:
        """Begin nothing yet."""
        self._reach, self._name, self._args = reach, name, args
        self._line = 0

    async def __anext__(self) -> Any:
        """Ask for the next item."""
        calls = await self._reach()
        if not self._line:
            self._line = calls.new_line()
            await calls.ask(self._line, "iterate", name=self._name, args=self._args)
        reply = await calls.ask(self._line, "next")
        if reply.get("end"):
            raise StopAsyncIteration
        return reply["value"]

    async def aclose(self) -> None:
        """Close the generator, if it was begun."""
        if self._line:
            await (await self._reach()).ask(self._line, "aclose")


class EnteredValue:
    """What a context manager in the learner's process gave; see ``RemoteValue``."""

    def __init__(self, calls: Calls, line: int) -> None:
        """Remember where to ask."""
        self._calls, self._line = calls, line

    async def value(self) -> Any:
        """A copy of the value as it is now."""
        return (await self._calls.ask(self._line, "value"))["value"]


def _read(reply: dict[str, Any]) -> dict[str, Any]:
    for kind in ("refused", "raised"):
        if kind in reply:
            names, text = tuple(map(str, reply[kind])), str(reply.get("text", ""))
            raise NotStarted(text) if kind == "refused" else RemoteError(names or ("Exception",), text)
    return {"value": None, **reply}


def _process_ended() -> RemoteError:
    return RemoteError(("ProcessEnded",), "the process that ran the code ended")
