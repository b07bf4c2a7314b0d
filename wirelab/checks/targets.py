"""What all targets share: one process for all of their calls, and servers that start in time or say why not."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

from wirelab.checks import NotStarted, RemoteError
from wirelab.checks.remote import Calls, EnteredValue, RemoteGenerator

# Seconds until a deliverable that neither starts nor fails is given up.
START_DEADLINE = 10.0
# Seconds that a server may take to tell what its handlers raised.
ERRORS_DEADLINE = 0.5


class CallingTarget(ABC):
    """The part of a ``Target`` that calls functions; its ``async with`` ends the process for calls."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._running = contextlib.AsyncExitStack()
        self._starting: asyncio.Task[Calls] | None = None

    async def __aenter__(self) -> Self:
        """Start nothing yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what answers calls, or what is about to."""
        if self._starting:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await self._running.aclose()

    async def call(self, name: str, *args: Any) -> Any:
        """See ``Target``."""
        return await (await self._reach(name)).call(name, *args)

    def iterate(self, name: str, *args: Any) -> RemoteGenerator:
        """See ``Target``."""
        return RemoteGenerator(lambda: self._reach(name), name, args)

    @contextlib.asynccontextmanager
    async def enter(self, name: str, *args: Any) -> AsyncIterator[EnteredValue]:
        """See ``Target``."""
        async with (await self._reach(name)).enter(name, *args) as value:
            yield value

    @abstractmethod
    def _process(self) -> AbstractAsyncContextManager[Calls]:
        """Start a process that answers calls."""

    async def _reach(self, name: str) -> Calls:
        """Connect to the process for calls, which has the function `name` or says that it has not."""
        return await self._started()

    async def _started(self) -> Calls:
        """The process for calls. Whoever comes while it starts waits for it, and hears of it if it does not.

        The start is nobody's own: it goes on when the caller who came first gives up.
        """
        if self._starting is None or _failed(self._starting):
            self._starting = asyncio.ensure_future(self._running.enter_async_context(self._process()))
        starting = self._starting
        await asyncio.wait([starting])
        return starting.result()


def _failed(starting: asyncio.Task[Calls]) -> bool:
    return starting.done() and (starting.cancelled() or starting.exception() is not None)


async def start_server(name: str, calls: Calls, args: Sequence[Any], options: dict[str, Any]) -> None:
    """Have a process that runs `serving` begin to serve the deliverable `name`.

    Raises:
        NotStarted: it cannot, or is not ready in time.
    """
    try:
        async with asyncio.timeout(START_DEADLINE):
            await calls.call("start", args, options)
    except (RemoteError, NotStarted) as error:
        raise NotStarted(f"{name} did not start: {error}.") from None
    except TimeoutError:
        raise NotStarted(f"{name} was not ready within {START_DEADLINE:g} seconds.") from None


class RemoteServer:
    """A deliverable that serves in another process: the part of ``Served`` that is the same everywhere."""

    def __init__(self, port: int, calls: Calls) -> None:
        """Name the addresses."""
        self.http = f"http://127.0.0.1:{port}"
        self.ws = f"ws://127.0.0.1:{port}"
        self._calls = calls

    async def errors(self) -> list[str]:
        """See ``Served``."""
        try:
            async with asyncio.timeout(ERRORS_DEADLINE):
                return texts(await self._calls.call("errors"))
        except (RemoteError, TimeoutError):
            return []


def texts(said: object) -> list[str]:
    """What a learner's process says that should be a list of texts."""
    return [str(one) for one in said] if isinstance(said, list) else []
