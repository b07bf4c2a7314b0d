"""How WebSockets end: how long until the server notices, and what the client and the wire tell of it."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from .link import Link
from .serving import Server

# Seconds that the client of `ending_at` waits between two pings and for an answer, and for a close: short, so that
# a server that is frozen does not keep anybody.
PING, CLOSE = 0.3, 0.1


class Ending(NamedTuple):
    """How a connection ended.

    Attributes:
        code: the close code that the client has (RFC 6455, section 7.4), or the status that refused it.
        reading: what the loop does that reads the messages: "ends quietly", "raises", "never begins".
        wire: the first thing after the handshake that was not the client's; "nothing" if there was none.
    """

    code: str
    reading: str
    wire: str


class Host:
    """Somebody who greets each client and sees it off."""

    def __init__(self) -> None:
        """Nobody has come yet."""
        self._over: queue.SimpleQueue[float] = queue.SimpleQueue()

    async def welcome(self, websocket: ServerConnection) -> None:
        """Handle a connection: say "welcome", and note when it is over."""
        await websocket.send("welcome")
        await websocket.wait_closed()
        self._over.put(time.perf_counter())

    async def notices_within(self, seconds: float) -> float | None:
        """Seconds from now until the server knows that the next connection is over; None if it takes longer."""
        start = time.perf_counter()
        with suppress(queue.Empty):
            return await asyncio.to_thread(self._over.get, timeout=seconds) - start
        return None


async def reception(uri: str, *messages: str, seconds: float = 1.2) -> str:
    """Send messages; return how the server took them, "closed with CODE", or "still connected" after a while."""
    async with connect(uri, proxy=None) as websocket:
        for message in messages:
            await websocket.send(message)
        with suppress(TimeoutError):
            await asyncio.wait_for(websocket.wait_closed(), seconds)
        return f"closed with {websocket.close_code:d}" if websocket.close_code else "still connected"


async def ending_at(
    server: Server, path: str, *, say: str = "", fault: Callable[[Link], None] | None = None
) -> Ending:
    """Connect over a link and read until the connection ends.

    Args:
        server: where to.
        path: of the URL.
        say: what to send first; "" for nothing.
        fault: what happens to the network once the client is connected, such as `Link.reset`.
    """
    with Link(server) as link:
        code, reading = await _read_to_the_end(link, path, say, fault)
        others = [message.title for message in link.exchange().messages if message.sender != "client"]
    wire = next((title for title in others if not title.startswith("HTTP/1.1 101")), "nothing")
    return Ending(code, reading, wire)


async def _read_to_the_end(
    link: Link, path: str, say: str, fault: Callable[[Link], None] | None
) -> tuple[str, str]:
    """The code of the end, and what it was to the one who read."""
    connecting = connect(link.ws + path, proxy=None, ping_interval=PING, ping_timeout=PING, close_timeout=CLOSE)
    try:
        async with connecting as websocket:
            if fault:
                fault(link)
            if say:
                await websocket.send(say)
            async for _ in websocket:
                pass
        return f"{websocket.close_code:d}", "ends quietly"
    except InvalidStatus as refused:
        return f"HTTP {refused.response.status_code}", "never begins"
    except ConnectionClosedError:
        return f"{websocket.close_code:d}", "raises"


def table(ended: Mapping[str, Ending]) -> str:
    """A table of endings, by what led to them."""
    rows = [("", "code", "async for", "on the wire"), *((way, *ending) for way, ending in ended.items())]
    return "\n".join(f"{way:24}{code:10}{reading:14}{wire}" for way, code, reading, wire in rows)
