"""A crowd that was cut off comes back: reckoned for a thousand clients, and tried with some real ones."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException
from websockets.frames import CloseCode
from websockets.http11 import Request

from .stats import Floats

# Seconds to wait before an attempt, by how many have failed: 1 is the cut itself.
Delay: TypeAlias = Callable[[int], float]


@dataclass(frozen=True)
class Outage:
    """A server that goes away, and the crowd that it had.

    The server opens one connection after another, in the order in which they were asked for. It does not notice
    who has given up meanwhile: that one's turn is spent all the same.

    Attributes:
        clients: how many are cut off, all at once.
        down: seconds until the server is back; until then it refuses.
        rate: connections that it opens in a second.
        patience: seconds after which a client gives an attempt up.
        trip: seconds of a round trip; a refusal takes one.
        watched: seconds after which nobody looks any more.
    """

    clients: int
    down: float
    rate: float
    patience: float
    trip: float
    watched: float


class Storm(NamedTuple):
    """How a crowd came back; seconds since the cut, in order.

    Attributes:
        attempts: when somebody tried.
        back: when somebody was connected again.
    """

    attempts: Floats
    back: Floats

    def back_by(self, moment: float) -> int:
        """How many were back by then."""
        return int(np.searchsorted(self.back, moment, side="right"))

    def busiest(self, after: float = 0.0, second: float = 1.0) -> int:
        """The most attempts that fell into one `second` of those that begin with `after`."""
        late = self.attempts[self.attempts >= after]
        return int(np.bincount(((late - after) / second).astype(int), minlength=1).max())


def simulate(outage: Outage, delay: Delay) -> Storm:
    """Reckon how a crowd comes back, one event after another."""
    due = [(delay(1), client, 1) for client in range(outage.clients)]
    heapq.heapify(due)
    attempts, back = [], []
    free = outage.down
    while due and due[0][0] < outage.watched:
        now, client, failures = heapq.heappop(due)
        attempts.append(now)
        asked = now + outage.trip / 2
        over = now + outage.trip
        if asked >= outage.down:
            free = max(free, asked) + 1 / outage.rate
            over = now + outage.patience
            if free + outage.trip / 2 <= over:
                back.append(free + outage.trip / 2)
                continue
        heapq.heappush(due, (over + delay(failures + 1), client, failures + 1))
    return _storm(outage, attempts, back)


async def come_back(outage: Outage, delay: Delay) -> Storm:
    """Let real clients come back to a real server that closes, stays away and listens on its port again.

    Its `rate` is kept by the opening handshake, which waits for its turn. The way takes what it takes here:
    `trip` is not emulated.
    """
    clock = asyncio.get_running_loop().time
    gate = _Gate(outage.rate)
    attempts: list[float] = []
    back: list[float] = []
    all_in, all_back = asyncio.Barrier(outage.clients + 1), asyncio.Event()

    async def client(port: int) -> None:
        uri = f"ws://127.0.0.1:{port}"
        async with _connecting(uri, _OPENING) as first:
            await all_in.wait()
            await first.wait_closed()
        failures = 1
        while True:
            await asyncio.sleep(delay(failures))
            attempts.append(clock() - cut)
            try:
                async with _connecting(uri, outage.patience) as websocket:
                    back.append(clock() - cut)
                    if len(back) == outage.clients:
                        all_back.set()
                    await websocket.wait_closed()
                    return
            except (OSError, TimeoutError, WebSocketException):
                failures += 1

    async with AsyncExitStack() as stack:
        server = await serve(_stay, "127.0.0.1", 0, ping_interval=None, compression=None)
        stack.callback(server.close)
        port = next(iter(server.sockets)).getsockname()[1]
        crowd = [asyncio.create_task(client(port)) for _ in range(outage.clients)]
        stack.push_async_callback(_end, crowd)
        async with asyncio.timeout(_OPENING):
            await all_in.wait()
        cut = clock()
        server.close(code=CloseCode.SERVICE_RESTART)
        await server.wait_closed()
        await asyncio.sleep(cut + outage.down - clock())
        await stack.enter_async_context(
            serve(_stay, "127.0.0.1", port, process_request=gate.let_in, ping_interval=None, compression=None)
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(cut + outage.watched - clock()):
                await all_back.wait()
        # The server, when it closes, waits for every handshake that still stands in line.
        gate.close()
        await _end(crowd)
    return _storm(outage, attempts, back)


# Seconds until the crowd is connected for the first time.
_OPENING = 20.0


class _Gate:
    """Lets one connection in after another, until it is closed: then all who wait."""

    def __init__(self, rate: float) -> None:
        self._each = 1 / rate
        self._free = 0.0
        self._closed = asyncio.Event()

    async def let_in(self, _connection: ServerConnection, _request: Request) -> None:
        now = asyncio.get_running_loop().time()
        self._free = max(self._free, now) + self._each
        with suppress(TimeoutError):
            async with asyncio.timeout(self._free - now):
                await self._closed.wait()

    def close(self) -> None:
        self._closed.set()


def _connecting(uri: str, seconds: float) -> connect:
    return connect(uri, proxy=None, compression=None, open_timeout=seconds, ping_interval=None, close_timeout=1)


async def _stay(websocket: ServerConnection) -> None:
    await websocket.wait_closed()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _storm(outage: Outage, attempts: list[float], back: list[float]) -> Storm:
    first, second = (np.sort(np.array(times, dtype=np.float64)) for times in (attempts, back))
    return Storm(first, second[second <= outage.watched])
