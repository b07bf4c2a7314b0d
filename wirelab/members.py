"""Members of rooms, for experiments: what each of them has heard, and whether it came back after a cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

# Seconds until a member has to be in its room, and between two attempts to come back.
OPENING, AGAIN = 10.0, 0.05
# Seconds between two looks at what is waited for.
LOOKING = 0.01

# What a member says: a text, or what goes out as a JSON object.
Message: TypeAlias = str | Mapping[str, Any]


class Member:
    """Somebody with a socket open.

    Args:
        url: where to.
        first: what to say on coming in, each time.
        resume: come back after a cut, and say in ``?after=`` which message was the last; they are JSON with `seq`.

    Attributes:
        heard: the messages, as they came.
        connections: how often it got in.
    """

    def __init__(self, url: str, *, first: Sequence[Message] = (), resume: bool = False) -> None:
        """Not there yet."""
        self.url = url
        self.heard: list[str] = []
        self.connections = 0
        self.inside, self.news = asyncio.Event(), asyncio.Event()
        self._first, self._resume = first, resume
        self._websocket: ClientConnection | None = None

    @property
    def seqs(self) -> list[int]:
        """The numbers of what was heard."""
        return [int(json.loads(message)["seq"]) for message in self.heard]

    async def say(self, *messages: Message) -> None:
        """Send messages, one after the other."""
        assert self._websocket
        for message in messages:
            await self._websocket.send(message if isinstance(message, str) else json.dumps(message))

    async def leave(self) -> None:
        """Close the connection, and do not come back."""
        self._resume = False
        if self._websocket:
            await self._websocket.close()

    async def stay(self) -> None:
        """Be there, until the connection ends; with `resume` for ever."""
        while True:
            after = f"?after={self.seqs[-1]}" if self._resume and self.heard else ""
            with contextlib.suppress(OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                async with connect(self.url + after, proxy=None, compression=None, close_timeout=1) as websocket:
                    self._websocket = websocket
                    self.connections += 1
                    await self.say(*self._first)
                    self.inside.set()
                    async for message in websocket:
                        self.heard.append(str(message))
                        self.news.set()
            if not self._resume:
                return
            await asyncio.sleep(AGAIN)


@asynccontextmanager
async def members_at(
    urls: Iterable[str], *, first: Sequence[Message] = (), resume: bool = False
) -> AsyncIterator[list[Member]]:
    """Let a member in at each URL, and yield them when all are there and have said what they say `first`.

    Raises:
        TimeoutError: one did not get in.
    """
    members = [Member(url, first=first, resume=resume) for url in urls]
    staying = [asyncio.create_task(member.stay()) for member in members]
    try:
        async with asyncio.timeout(OPENING):
            for member in members:
                await member.inside.wait()
        yield members
    finally:
        await asyncio.gather(*(member.leave() for member in members))
        for task in staying:
            task.cancel()
        await asyncio.gather(*staying, return_exceptions=True)


async def until_heard(members: Sequence[Member], count: int, seconds: float = 5.0) -> None:
    """Wait until each member has heard so many messages, or until the time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for member in members:
                while len(member.heard) < count:
                    member.news.clear()
                    await member.news.wait()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is true.

    Raises:
        TimeoutError: it was not, in all that time.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (any condition: nobody says when)
            await asyncio.sleep(LOOKING)
