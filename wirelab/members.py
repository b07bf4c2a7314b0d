"""Members of rooms, for experiments: what each of them has heard, and whether it came back after a cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

# Seconds until a member has to be in its room, and between two attempts to come back.
OPENING, AGAIN = 10.0, 0.05


class Member:
    """Somebody with a socket open.

    Args:
        url: where to.
        resume: come back after a cut, and say in ``?after=`` which message was the last; they are JSON with `seq`.

    Attributes:
        heard: the messages, as they came.
        connections: how often it got in.
    """

    def __init__(self, url: str, *, resume: bool = False) -> None:
        """Not there yet."""
        self.url = url
        self.heard: list[str] = []
        self.connections = 0
        self.inside, self.news = asyncio.Event(), asyncio.Event()
        self._resume = resume
        self._websocket: ClientConnection | None = None

    @property
    def seqs(self) -> list[int]:
        """The numbers of what was heard."""
        return [int(json.loads(message)["seq"]) for message in self.heard]

    async def say(self, text: str) -> None:
        """Send a message."""
        assert self._websocket
        await self._websocket.send(text)

    async def stay(self) -> None:
        """Be there, until the connection ends; with `resume` for ever."""
        while True:
            after = f"?after={self.seqs[-1]}" if self._resume and self.heard else ""
            with contextlib.suppress(OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                async with connect(self.url + after, proxy=None, compression=None, close_timeout=1) as websocket:
                    self._websocket = websocket
                    self.connections += 1
                    self.inside.set()
                    async for message in websocket:
                        self.heard.append(str(message))
                        self.news.set()
            if not self._resume:
                return
            await asyncio.sleep(AGAIN)


@asynccontextmanager
async def members_at(urls: Iterable[str], *, resume: bool = False) -> AsyncIterator[list[Member]]:
    """Let a member in at each URL, and yield them when all are there.

    Raises:
        TimeoutError: one did not get in.
    """
    members = [Member(url, resume=resume) for url in urls]
    staying = [asyncio.create_task(member.stay()) for member in members]
    try:
        async with asyncio.timeout(OPENING):
            for member in members:
                await member.inside.wait()
        yield members
    finally:
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
