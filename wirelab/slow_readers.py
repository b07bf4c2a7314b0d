"""One client of a stream stops reading for a while: what the others and the server's memory feel of it.

How a message is handed out is the caller's to choose: a policy is an async function that gets the members and an
update, and is awaited before the next update can go out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from .stats import Floats

# The stream: seconds between two updates and for all of them, the symbols that take turns, characters of each
# update besides what it says.
EVERY, SECONDS, SYMBOLS, PADDING = 0.02, 2.0, ("ACME", "GLOB"), 8000
# Seconds from the beginning at which the reader stops, and reads on.
STOPS, READS_ON = 0.4, 1.4
HEALTHY = 4
# Bytes. The slow reader's sockets have small buffers, so that they are full within a tenth of a second; those of
# a real one take some megabytes. The library's own come on top, for everybody.
SOCKET_BUFFER, WRITE_LIMIT = 8192, 8192
# Seconds that the members get for what is still on its way at the end.
DRAINING = 5.0


class Update(NamedTuple):
    """What is sent to every member.

    Attributes:
        seq: counts the updates from 0.
        symbol: whose price it is.
        text: the message.
    """

    seq: int
    symbol: str
    text: str


@dataclass(eq=False)
class Member:
    """A client, as the server sees it.

    Attributes:
        websocket: its connection.
        queue: updates that wait to be sent, oldest first.
    """

    websocket: ServerConnection
    queue: deque[Update] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: asyncio.Task[None] | None = None

    async def send(self, update: Update) -> None:
        """Send an update, and wait until the connection has room for more; a member that has left gets none."""
        with contextlib.suppress(ConnectionClosed):
            await self.websocket.send(update.text)

    def post(self, update: Update) -> None:
        """Append an update to the queue, which is emptied in the background; waits for nobody."""
        self.queue.append(update)
        self._news.set()

    def drop(self, code: int) -> None:
        """Forget the queue, and close the connection with a code, in the background; it gets no more updates."""
        self.queue.clear()
        self._closing = asyncio.create_task(self.websocket.close(code))

    @property
    def leaving(self) -> bool:
        """Whether it was dropped."""
        return self._closing is not None

    @property
    def waiting(self) -> int:
        """Bytes that the server holds for it: the queue, and what the connection has not passed on yet."""
        return sum(len(update.text) for update in self.queue) + self.websocket.transport.get_write_buffer_size()

    async def empty_queue(self) -> None:
        """Send what is posted, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self.queue:
                await self.send(self.queue.popleft())


Policy: TypeAlias = Callable[[Collection[Member], Update], Awaitable[object]]


@dataclass(frozen=True)
class Trial:
    """What a policy did.

    Attributes:
        due: when each update was due; seconds since the first.
        delay: seconds from then until the last of the healthy clients had it; NaN if one never got it.
        moments: when the memory was looked at; seconds since the first update.
        waiting: bytes that the server held for its members at these moments.
        missed: how many updates the slow reader never got.
        code: with which its connection was closed; None if it is still open.
    """

    due: Floats
    delay: Floats
    moments: Floats
    waiting: Floats
    missed: int
    code: int | None

    @property
    def worst(self) -> float:
        """Seconds by which an update was late for the unluckiest of the healthy clients."""
        return float(np.nanmax(self.delay))

    @property
    def held(self) -> float:
        """Bytes that the server held for its members in the last half of the reader's pause, median."""
        late = (self.moments > (STOPS + READS_ON) / 2) & (self.moments < READS_ON)
        return float(np.median(self.waiting[late]))


async def trials(policies: Mapping[str, Policy]) -> dict[str, Trial]:
    """Try every policy, all at the same time, each on a server of its own."""
    found = await asyncio.gather(*map(_trial, policies.values()))
    return dict(zip(policies, found, strict=True))


async def _trial(policy: Policy) -> Trial:
    clock = asyncio.get_running_loop().time
    members: list[Member] = []
    count = round(SECONDS / EVERY)

    async def handle(websocket: ServerConnection) -> None:
        # Its first message says that it will be slow.
        if await websocket.recv() == "slow":
            _narrow(websocket.transport.get_extra_info("socket"), socket.SO_SNDBUF)
        member = Member(websocket)
        members.append(member)
        emptying = asyncio.create_task(member.empty_queue())
        await websocket.send("ready")
        try:
            await websocket.wait_closed()
        finally:
            emptying.cancel()
            members.remove(member)

    async def publish(start: float) -> None:
        for seq in range(count):
            await asyncio.sleep(max(0.0, start + seq * EVERY - clock()))
            symbol = SYMBOLS[seq % len(SYMBOLS)]
            text = json.dumps({"symbol": symbol, "seq": seq, "more": "." * PADDING})
            await policy([member for member in members if not member.leaving], Update(seq, symbol, text))

    async def look(start: float) -> tuple[Floats, Floats]:
        seen = []
        for seq in range(count):
            # Amid two updates: what is only on its way is not counted.
            await asyncio.sleep(max(0.0, start + (seq + 0.6) * EVERY - clock()))
            seen.append((clock() - start, float(sum(member.waiting for member in members))))
        moments, waiting = np.array(seen).T
        return moments, waiting

    server = serve(handle, "127.0.0.1", 0, compression=None, write_limit=WRITE_LIMIT, ping_interval=None)
    async with contextlib.AsyncExitStack() as stack:
        port = next(iter((await stack.enter_async_context(server)).sockets)).getsockname()[1]
        # The slow one in the middle: those before it in a loop fare otherwise than those behind.
        clients = [await _join(stack, port, slow=place == HEALTHY // 2) for place in range(HEALTHY + 1)]
        slow = clients.pop(HEALTHY // 2)
        start = clock()
        loop = asyncio.get_running_loop()
        loop.call_at(start + STOPS, slow.transport.pause_reading)
        loop.call_at(start + READS_ON, slow.transport.resume_reading)
        looking = asyncio.create_task(look(start))
        reading = [asyncio.create_task(_read(client, count)) for client in (*clients, slow)]
        await publish(start)
        moments, waiting = await looking
        *healthy, of_slow = await asyncio.gather(*reading)
        code = slow.close_code
    due = EVERY * np.arange(count, dtype=np.float64)
    arrived = np.array([[got.get(seq, np.nan) for seq in range(count)] for got in healthy])
    return Trial(due, arrived.max(axis=0) - start - due, moments, waiting, count - len(of_slow), code)


async def _join(stack: contextlib.AsyncExitStack, port: int, *, slow: bool) -> ClientConnection:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setblocking(False)
    if slow:
        # Before it is connected: the window is agreed on then.
        _narrow(sock, socket.SO_RCVBUF)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    client = await stack.enter_async_context(
        connect(
            f"ws://127.0.0.1:{port}",
            sock=sock,
            proxy=None,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            max_queue=None,
        )
    )
    await client.send("slow" if slow else "fast")
    await client.recv()
    return client


async def _read(client: ClientConnection, count: int) -> dict[int, float]:
    """When each update came, until the last one has."""
    clock = asyncio.get_running_loop().time
    got: dict[int, float] = {}
    with contextlib.suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(SECONDS + DRAINING):
            while count - 1 not in got:
                message = await client.recv()
                got[json.loads(message)["seq"]] = clock()
    return got


def _narrow(sock: socket.socket, which: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, which, SOCKET_BUFFER)
