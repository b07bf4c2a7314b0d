"""A small load balancer: one address in front of several workers, which picks one for each connection."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ._background import EngineThread
from .serving import Server, launch

# What a connection is sorted by: gets the head of its first request, as it was sent.
Key: TypeAlias = Callable[[str], str]

# Seconds until a head has to be there.
HEAD_DEADLINE = 10.0
CHUNK = 65536


class Balancer(Server):
    """One address for several workers; clients use it in a server's place.

    It picks a worker for each *connection*, by the first request on it, and passes bytes on from then on: as a
    balancer for TCP does. Later requests on a kept-alive connection go to the same worker. A worker that does not
    listen is passed over. It stops as a `Server` does.

    Args:
        workers: where to.
        by: connections with the same key go to the same worker ("sticky"); without it one is drawn by lot. When a
            worker is missing, only its own keys move (rendezvous hashing: Thaler and Ravishankar, 1998).
        seed: for the lot.

    Attributes:
        opened: how many connections each worker got, by its place among `workers`.

    Raises:
        ValueError: `workers` are no servers, or none at all.
        ServeError: it could not start.
    """

    def __init__(self, workers: Sequence[Server], *, by: Key | None = None, seed: int | None = None) -> None:
        """Start it; it is ready when this returns."""
        if not (isinstance(workers, Sequence) and workers and all(isinstance(each, Server) for each in workers)):
            raise ValueError(f"A balancer takes a list of servers, as in Balancer([one, two]), not {workers!r}.")
        self._engine = _BalancerEngine([worker.port for worker in workers], by, random.Random(seed))
        name = f"balancer of {len(workers)} workers"
        super().__init__(name, EngineThread(name, lambda _: self._engine))
        launch(self, 0, explicit=False)

    @property
    def opened(self) -> Counter[int]:
        """See the class."""
        return Counter(self._engine.opened)


class _BalancerEngine:
    """A balancer as what a server's thread runs; see `_engines.Engine`."""

    scheme_suffix = ""

    def __init__(self, ports: list[int], by: Key | None, lot: random.Random) -> None:
        self.opened: Counter[int] = Counter()
        self._ports = ports
        self._by = by
        self._lot = lot
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, sock: socket.socket) -> None:
        self._server = await asyncio.start_server(self._accept, sock=sock)

    async def tick(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            # Whoever leaves, or says nothing, is no fault of the balancer's.
            with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                async with asyncio.timeout(HEAD_DEADLINE):
                    head = await reader.readuntil(b"\r\n\r\n")
                answers, worker = await self._open(head.decode("latin-1"))
                writers.append(worker)
                worker.write(head)
                asking = asyncio.create_task(_pass_on(reader, worker, writer))
                try:
                    await _pass_on(answers, writer, worker)
                finally:
                    asking.cancel()
                    await asyncio.gather(asking, return_exceptions=True)
        finally:
            for each in writers:
                each.close()

    async def _open(self, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first worker of this key's order that listens."""
        for place in self._order(head):
            with contextlib.suppress(OSError):
                connection = await asyncio.open_connection("127.0.0.1", self._ports[place])
                self.opened[place] += 1
                return connection
        raise ConnectionRefusedError("no worker listens")

    def _order(self, head: str) -> list[int]:
        places = list(range(len(self._ports)))
        if self._by is None:
            self._lot.shuffle(places)
            return places
        key = self._by(head)
        return sorted(places, key=lambda place: hashlib.sha256(f"{place} {key}".encode()).digest())


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter) -> None:
    """Pass bytes on until their end. Where one of the two connections breaks, so does the other.

    Args:
        reader: of the connection that they come from.
        writer: of the other.
        back: of the first.
    """
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        for each in (writer, back):
            each.transport.abort()
