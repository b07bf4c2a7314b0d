"""A server is about to restart: its clients move to another one, all at once or one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import CloseCode

from .stats import Floats

Handler: TypeAlias = Callable[[ServerConnection], Awaitable[None]]

# Seconds until everybody has to be in, and between two questions of a bystander.
DEADLINE, ASKING = 30.0, 0.005


@dataclass(frozen=True)
class Move:
    """How a crowd moved; seconds since the first one was sent away.

    Attributes:
        gone: when each client saw its connection end.
        back: when each was connected to the other server, in the order of `gone`.
        asked: when a client that was there all the time asked something.
        waited: seconds until it had the answer.
    """

    gone: Floats
    back: Floats
    asked: Floats
    waited: Floats

    def away_at(self, moments: Floats) -> Floats:
        """How many clients were without a connection at each moment."""
        gone, back = (np.searchsorted(np.sort(times), moments, side="right") for times in (self.gone, self.back))
        return (gone - back).astype(np.float64)

    @property
    def most_away(self) -> int:
        """The most clients that were without a connection at the same time."""
        return int(self.away_at(self.gone).max())


async def move(clients: int, every: float) -> Move:
    """Let clients move from a server that is drained to one that stays.

    Both servers and the clients share this event loop, so that no more work gets done at a time than one core can.

    Args:
        clients: how many.
        every: seconds from sending one away, with close code 1012, to the next; 0 for all at once.

    Raises:
        TimeoutError: they did not get in.
    """
    clock = asyncio.get_running_loop().time
    old: list[ServerConnection] = []
    gone: list[float] = []
    back: list[float] = []

    async def stay(websocket: ServerConnection) -> None:
        old.append(websocket)
        await websocket.wait_closed()

    async def echo(websocket: ServerConnection) -> None:
        async for message in websocket:
            await websocket.send(message)

    async with AsyncExitStack() as stack:

        async def listen(handler: Handler) -> str:
            opening = serve(handler, "127.0.0.1", 0, ping_interval=None, compression=None)
            server = await stack.enter_async_context(opening)
            return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"

        first, second = await listen(stay), await listen(echo)
        bystander = await stack.enter_async_context(_to(second))
        over = asyncio.Event()
        all_in, all_back = asyncio.Barrier(clients + 1), asyncio.Barrier(clients + 1)

        async def client() -> None:
            async with _to(first) as websocket:
                await all_in.wait()
                await websocket.wait_closed()
            left = clock()
            async with _to(second):
                gone.append(left - start)
                back.append(clock() - start)
                await all_back.wait()

        crowd = [asyncio.create_task(client()) for _ in range(clients)]
        stack.push_async_callback(_end, crowd)
        async with asyncio.timeout(DEADLINE):
            await all_in.wait()
            start = clock()
            asking = asyncio.create_task(_ask(bystander, start, over))
            stack.push_async_callback(_end, [asking])
            closing = []
            for number, websocket in enumerate(list(old)):
                if every:
                    await asyncio.sleep(start + number * every - clock())
                closing.append(asyncio.create_task(websocket.close(CloseCode.SERVICE_RESTART)))
            await asyncio.gather(*closing)
            await all_back.wait()
        over.set()
        asked, waited = np.array(await asking).T
    return Move(np.array(gone), np.array(back), asked, waited)


async def _ask(websocket: ClientConnection, start: float, over: asyncio.Event) -> list[tuple[float, float]]:
    """When each question was due, and how long it waited; at least one."""
    clock = asyncio.get_running_loop().time
    noted: list[tuple[float, float]] = []
    while not (over.is_set() and noted):
        due = clock()
        await websocket.send("Are you there?")
        await websocket.recv()
        noted.append((due - start, clock() - due))
        await asyncio.sleep(ASKING)
    return noted


def _to(url: str) -> connect:
    return connect(url, proxy=None, compression=None, open_timeout=DEADLINE, ping_interval=None, close_timeout=1)


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
