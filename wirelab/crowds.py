"""What connections cost a server: a crowd of clients as light as can be, and the server's process looked at.

The clients live on one event loop of this process, and the server has to be in another one, or its memory and its
time could not be told from theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

import psutil  # type: ignore[import-untyped]
from websockets.frames import Opcode

from .clients import MASKED, SHORT, shake_hands
from .serving import Server
from .stats import Estimate, replicate_interval

# Handles that this process and a server need besides those of the crowd.
OTHER_HANDLES = 500
# Clients that open at the same time, and seconds that they may take.
AT_ONCE, OPENING = 50, 30.0
# Clients that come and go first: a server's first ones pay for caches and late imports.
WARM_UP = 20
# Seconds that the system counts the processor's time by. It is the sum of two times, the process's own and the
# system's for it, each cut to whole ticks: so the difference of two readings can be wrong by two, either way.
TICK = 0.01
# Seconds to wait for what was said.
HEARING = 10.0


def room_for(clients: int) -> int:
    """Ask the system for handles for so many clients, and return how many there is room for.

    The soft limit of open files is raised for this process and for those that it starts from now on (POSIX,
    ``setrlimit``). Where there is none, as on Windows, there is room for all.
    """
    if os.name != "posix":
        return clients
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + OTHER_HANDLES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # The system may have a lower limit than the one that it tells.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return max(0, min(clients, soft - OTHER_HANDLES))
    return clients


class Footprint(NamedTuple):
    """What a server's process holds and has used so far.

    Attributes:
        clients: how many are connected.
        memory: bytes that are resident; what the kernel keeps for its sockets is not in it.
        handles: open files and sockets.
        cpu: seconds of processor time.
    """

    clients: int
    memory: int
    handles: int
    cpu: float


def footprint(pid: int, clients: int = 0) -> Footprint:
    """Look at a process."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    handles = process.num_fds() if os.name == "posix" else process.num_handles()
    return Footprint(clients, process.memory_info().rss, handles, times.user + times.system)


class Crowd:
    """Clients of one WebSocket server that answer pings, count messages and do nothing else.

    Args:
        url: where to, ``ws://127.0.0.1:PORT/PATH``.
        deflate: offer to compress messages (RFC 7692), so that a server that likes to do so sets it up.

    Attributes:
        pings: that have come, to all of them.
        messages: the same, of messages.
        news: set when one or the other has come.
    """

    def __init__(self, url: str, *, deflate: bool = False) -> None:
        """Begin with nobody."""
        offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n" if deflate else b"\r\n"
        self.opening = shake_hands(url).removesuffix(b"\r\n") + offer
        self.pings = self.messages = 0
        self._address = url.removeprefix("ws://").partition("/")[0].rsplit(":", 1)
        self._clients: list[_Client] = []
        self.news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._clients)

    async def grow(self, to: int) -> None:
        """Open connections until there are so many.

        Raises:
            ConnectionError: the server refused one.
            TimeoutError: it took too long.
        """
        host, port = self._address[0], int(self._address[1])
        loop = asyncio.get_running_loop()
        while (missing := to - len(self)) > 0:
            async with asyncio.timeout(OPENING):
                dialling = [
                    loop.create_connection(lambda: _Client(self), host, port) for _ in range(min(missing, AT_ONCE))
                ]
                pairs = await asyncio.gather(*dialling)
                new = [client for _, client in pairs]
                self._clients += new
                await asyncio.gather(*(client.opened for client in new))

    def say(self, text: str) -> None:
        """Let the first client send a message of at most 125 bytes."""
        self._clients[0].send(Opcode.TEXT, text.encode())

    async def heard(self, messages: int) -> None:
        """Wait until so many messages have come in all.

        Raises:
            TimeoutError: they have not.
        """
        async with asyncio.timeout(HEARING):
            while self.messages < messages:
                self.news.clear()
                await self.news.wait()

    async def leave(self) -> None:
        """Hang up, all of them."""
        for client in self._clients:
            client.transport.abort()
        await asyncio.gather(*(client.gone for client in self._clients))
        self._clients = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()


class _Client(asyncio.Protocol):
    """One of a crowd: just as much of RFC 6455 as that takes."""

    transport: asyncio.Transport

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._data = b""
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._crowd.opening)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self.opened.done():
            head, ended, rest = self._data.partition(b"\r\n\r\n")
            if not ended:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.opened.set_exception(ConnectionError(f"The server refused the WebSocket: {head[:40]!r}."))
                return
            self._data = rest
            self.opened.set_result(None)
        # Frames of a server are not masked, and those of this kind are short: two bytes of header.
        while len(self._data) >= 2 and len(self._data) >= (end := 2 + self._data[1]):
            self._take(self._data[0] & 0x0F, self._data[2:end])
            self._data = self._data[end:]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == Opcode.PING:
            self._crowd.pings += 1
            self.send(Opcode.PONG, payload)
        elif opcode == Opcode.CLOSE:
            self.transport.close()
        else:
            self._crowd.messages += 1
        self._crowd.news.set()

    def send(self, opcode: Opcode, payload: bytes) -> None:
        if len(payload) > SHORT:
            raise ValueError(f"A crowd knows messages of at most {SHORT} bytes; got {len(payload)}.")
        # A mask of zeros is a mask too, and leaves the payload as it is.
        self.transport.write(bytes([0x80 | opcode, MASKED | len(payload)]) + bytes(4) + payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set_result(None)
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("The server hung up during the opening handshake."))


async def growth(
    server: Server, sizes: Iterable[int], *, path: str = "", deflate: bool = False
) -> list[Footprint]:
    """Let a crowd grow to one size after another, and look at the server each time, with one client first."""
    url = server.ws + path
    async with Crowd(url, deflate=deflate) as early:
        await early.grow(WARM_UP)
    async with Crowd(url, deflate=deflate) as crowd:
        # When it has let this one in, it has noticed that the others have left.
        await crowd.grow(1)
        seen = [footprint(server.pid, 1)]
        for size in sizes:
            await crowd.grow(size)
            seen.append(footprint(server.pid, size))
    return seen


def for_each_client(seen: list[Footprint], what: str) -> Estimate:
    """What one more client costs, of "memory", "handles" or "cpu": each step of a growth is a replicate."""
    costs = [(getattr(b, what) - getattr(a, what)) / (b.clients - a.clients) for a, b in pairwise(seen)]
    return replicate_interval(costs)


@dataclass(frozen=True)
class Upkeep:
    """What a crowd that stays costs.

    Attributes:
        clients: how many.
        seconds: how long they were looked at.
        cpu: seconds of processor time that the server used meanwhile.
        events: pings, or messages, that reached a client.
    """

    clients: int
    seconds: float
    cpu: float
    events: int

    @property
    def core_share(self) -> float:
        """Processor time as a share of one core."""
        return self.cpu / self.seconds

    @property
    def for_each(self) -> Estimate:
        """Seconds of processor time for a ping with its pong, or for a message to one client.

        The interval is that of the two readings of the processor's clock.

        Raises:
            ValueError: there was none.
        """
        if not self.events:
            raise ValueError(
                "Neither a ping nor a message reached the crowd, so there is no cost of one: "
                "send messages=, or serve with a shorter ping_interval=."
            )
        return Estimate(*(max(0.0, self.cpu + error) / self.events for error in (0.0, -2 * TICK, 2 * TICK)))


async def upkeep(server: Server, clients: int, seconds: float, *, messages: int = 0) -> Upkeep:
    """Keep a crowd in `wirelab.apps.hall`, and look at what that takes.

    Args:
        server: the hall, in a process of its own.
        clients: how many.
        seconds: how long.
        messages: that somebody says meanwhile, evenly spread, and all hear.
    """
    loop = asyncio.get_running_loop()
    async with Crowd(server.ws) as crowd:
        await crowd.grow(clients)
        before, pings, start = footprint(server.pid).cpu, crowd.pings, loop.time()
        for number in range(messages):
            await asyncio.sleep(start + number * seconds / messages - loop.time())
            crowd.say(f'{{"symbol": "ACME", "price": {number}}}')
        await asyncio.sleep(start + seconds - loop.time())
        await crowd.heard(messages * clients)
        used = footprint(server.pid).cpu - before
        return Upkeep(clients, loop.time() - start, used, crowd.pings - pings + crowd.messages)
