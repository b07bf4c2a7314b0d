"""Clients of a WebSocket handler under test: how they wait, how their connections end, and what that tells."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from websockets.frames import CLOSE_CODE_EXPLANATIONS, Close, CloseCode

from wirelab.checks import NotAttempted, Served, Target
from wirelab.checks.evidence import News
from wirelab.checks.exchange import shown


def named(code: int | None) -> str:
    """A close code with its name, ``1008 (policy violation)``."""
    if code is None:
        return "no close code, as when a line is cut"
    name = CLOSE_CODE_EXPLANATIONS.get(code)
    return f"close code {code}" + (f" ({name})" if name else "")


def in_words(message: str | bytes) -> str:
    """A message as a person may see it."""
    if isinstance(message, bytes):
        return f"the bytes {shown(repr(message)[1:])}"
    return shown(message) or "an empty text"


@dataclass(frozen=True)
class Ending:
    """How a connection ended: the close code that the server sent, None if it sent none, and its reason."""

    at: float
    code: int | None = None
    reason: str = ""


class Connection(ABC):
    """A client's connection, and how it ended.

    Attributes:
        ending: how it ended, once it has and unless it was this client that left.
        raised: what the server's code raised, as far as known, if that broke the connection.
    """

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        """Begin to read as soon as others have their turn."""
        self.ending: Ending | None = None
        self.raised = ""
        self._left = False
        self._news = News()
        self._transport = transport
        self._reading = asyncio.ensure_future(self._read())

    @abstractmethod
    async def _read(self) -> None:
        """Note what arrives until the connection has ended, and then how it did."""

    def _end(self, close: Close | None) -> None:
        """Note that it ended, with the close frame that came or without one."""
        if self.ending is None and not self._left:
            now = time.perf_counter()
            self.ending = Ending(now, close.code, close.reason) if close else Ending(now)
        self._news.tell()

    def vanish(self) -> None:
        """Be gone without a close frame, as a laptop that was shut."""
        self._left = True
        self._transport.abort()

    async def leave(self) -> None:
        """Be gone, and wait until nothing is left of the connection."""
        self.vanish()
        await self._reading

    async def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Wait until a condition holds, the connection has ended or so many seconds have passed."""
        await self._news.until(lambda: condition() or self.ending, seconds)
        return bool(condition())

    @property
    def broke(self) -> bool:
        """Whether it ended as when the server's code raises, or its process ends."""
        return self.ending is not None and self.ending.code in (None, CloseCode.INTERNAL_ERROR)

    @property
    def unwritten(self) -> bool:
        """Whether it met code that nobody has written yet: a stub raises NotImplementedError."""
        return self.broke and self.raised.startswith("NotImplementedError")

    def not_written(self, what: str) -> NotAttempted:
        """What tells that nobody wrote this part yet."""
        ending = named(self.ending.code if self.ending else None)
        return NotAttempted(f"{what} gets {ending}, since the code for that is not written yet.")

    @property
    def end(self) -> str:
        """How the connection ended, in words; empty if it has not."""
        if self.ending is None:
            return ""
        reason = f' with the reason "{shown(self.ending.reason)}"' if self.ending.reason else ""
        raised = f" (your code raised {shown(self.raised)})" if self.raised else ""
        return f"{named(self.ending.code)}{reason}{raised}"


class ServedHandler:
    """A handler that is being served, and the connections that a check has made to it."""

    def __init__(self, served: Served) -> None:
        """Use `start`."""
        self.served = served
        self._clients: list[Connection] = []

    @classmethod
    @asynccontextmanager
    async def start(cls, target: Target, name: str, **options: Any) -> AsyncIterator[Self]:
        """Serve a handler; in the end, end every connection. The options are those of `Target.serve`."""
        async with target.serve(name, **options) as served:
            handler = cls(served)
            try:
                yield handler
            finally:
                await asyncio.gather(*(client.leave() for client in handler._clients))

    async def explain(self, *clients: Connection) -> None:
        """Note the server's last error with each client whose connection broke."""
        broken = [client for client in clients if client.broke]
        if broken and (errors := await self.served.errors()):
            for client in broken:
                client.raised = errors[-1]
