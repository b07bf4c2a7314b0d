"""Ways to follow a feed, the contenders of `wirelab.measure`, and the client that each of them drives."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, NamedTuple, Protocol

from ._connections import Answer, Http, WebSocket, Wire

# Requests before a measurement: the first ones pay for imports and caches.
WARM_UP = 5
# Seconds that listeners wait, after the end, for an update that is still missing.
GRACE = 1.0


class Sighting(NamedTuple):
    """An update when a client has it; times in `perf_counter` seconds."""

    seq: int
    emitted_at: float
    seen_at: float


class Window(NamedTuple):
    """The span of an experiment in `perf_counter` seconds, and the first and last update that belong to it."""

    start: float
    end: float
    first: int
    last: int

    @asynccontextmanager
    async def until_deadline(self) -> AsyncIterator[None]:
        """Give up the block when updates that are missing are not likely to come any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.end + GRACE - time.perf_counter()):
                yield


class StartingLine:
    """Where clients wait, connected, until all of them are there and `window` is set."""

    def __init__(self, clients: int) -> None:
        self._awaited = clients
        self.complete = asyncio.Event()
        self.window: asyncio.Future[Window] = asyncio.get_running_loop().create_future()

    async def wait(self) -> Window:
        """Wait for the start."""
        self._awaited -= 1
        if not self._awaited:
            self.complete.set()
        return await self.window


@dataclass
class Client:
    """One client of the feed at `url`: what it has seen and what that took.

    Attributes:
        turn: where its polls lie in the interval, 0 to 1: several clients do not all ask at once.
        seq: the newest update that it has.
        sightings: each update that it got.
        round_trips: seconds that each counted request took.
        empty: counted requests that brought nothing new.
        delays: seconds by which each poll left later than it was due, the poll at the start included.
        skipped: polls left out because an earlier answer was still awaited.
        opening: bytes before the start, in both directions.
        uncounted: sightings that came with bytes which are not counted.
    """

    url: str
    line: StartingLine
    turn: float = 0.0
    seq: int = 0
    sightings: list[Sighting] = field(default_factory=list)
    round_trips: list[float] = field(default_factory=list)
    empty: int = 0
    delays: list[float] = field(default_factory=list)
    skipped: int = 0
    opening: int = 0
    uncounted: int = 0
    wire: Wire | None = None

    async def connect(self) -> Wire:
        """Open the connection."""
        self.wire = await Wire.open(self.url)
        return self.wire

    async def open_http(self) -> Http:
        """Connect and warm up."""
        http = Http(await self.connect(), self.url)
        for _ in range(WARM_UP):
            await http.ask("GET", "/latest")
        self._count_from_here()
        return http

    async def begin(self) -> Window:
        """Wait for the start of the experiment; what went over the wire before it is the opening."""
        window = await self.line.wait()
        self.seq = window.first - 1
        self.opening = self.sent + self.received
        self._count_from_here()
        return window

    async def polls(self, every: float, delay: float) -> AsyncIterator[None]:
        """Yield when a poll is due, from the start to the first poll at or after the end.

        The poll at the start takes what came before and is not counted: with it there would be one more poll
        than there are intervals. One more is made when an update was late.
        """
        window = await self.begin()
        start = window.start + delay + self.turn * every
        last = math.ceil((window.end - start) / every - 1e-6)
        k, after_the_end = 0, 0
        while not after_the_end or (after_the_end == 1 and self.seq < window.last):
            await asyncio.sleep(start + k * every - time.perf_counter())
            self.delays.append(time.perf_counter() - start - k * every)
            yield
            if k == 0:
                self._count_from_here()
            after_the_end += k >= last
            due = max(k + 1, math.ceil((time.perf_counter() - start) / every))
            self.skipped += due - k - 1
            k = due

    async def asks(self, request: Awaitable[Answer]) -> Answer:
        """Make a request, and note how long it took and what it brought."""
        asked = time.perf_counter()
        answer = await request
        now = time.perf_counter()
        self.round_trips.append(now - asked)
        updates = json.loads(answer.body or b"[]")
        self.empty += not self.saw(updates if isinstance(updates, list) else [updates], now)
        return answer

    def saw(self, updates: Iterable[Mapping[str, float]], at: float) -> bool:
        """Note those updates that are new, and return whether there were any."""
        before = self.seq
        for update in updates:
            if update["seq"] > self.seq:
                self.seq = int(update["seq"])
                self.sightings.append(Sighting(self.seq, update["emitted_at"], at))
        return self.seq > before

    def close(self) -> None:
        """Leave."""
        if self.wire:
            self.wire.close()

    @property
    def sent(self) -> int:
        """Bytes sent since the start."""
        return self.wire.sent if self.wire else 0

    @property
    def received(self) -> int:
        """Bytes received since the start."""
        return self.wire.received if self.wire else 0

    def _count_from_here(self) -> None:
        if self.wire:
            self.wire.sent = self.wire.received = 0
        self.empty = 0
        self.round_trips.clear()
        self.uncounted = len(self.sightings)


class Contender(Protocol):
    """A way to follow a feed."""

    async def follow(self, client: Client) -> None:
        """Connect, wait for the start, then follow the feed until its last update."""


@dataclass(frozen=True)
class _Paced:
    """Polls `every` so many seconds, the first `delay` seconds after the start."""

    every: float
    delay: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.every, Real) and 0 < self.every < math.inf):
            raise ValueError(f"every is the seconds between two polls, above 0, not {self.every!r}.")


class Poll(_Paced):
    """Ask for what is new `every` so many seconds, with a cursor, so that nothing is missed.

    Paced by the clock (an open loop): poll k is due at k · `every` after the start, plus `delay`. An answer
    that takes longer than that costs the polls that it covers; they are not made up for. Several clients spread
    their polls evenly over the interval.

    Raises:
        ValueError: `every` is no interval.
    """

    async def follow(self, client: Client) -> None:
        """See `Contender`."""
        http = await client.open_http()
        async for _ in client.polls(self.every, self.delay):
            await client.asks(http.ask("GET", f"/updates?after={client.seq}"))


class PollLatest(_Paced):
    """Ask for the newest value `every` so many seconds, with its ETag: what came in between is never seen."""

    async def follow(self, client: Client) -> None:
        """See `Contender`."""
        http = await client.open_http()
        condition: dict[str, str] = {}
        async for _ in client.polls(self.every, self.delay):
            answer = await client.asks(http.ask("GET", "/latest", headers=condition))
            condition = {"If-None-Match": answer.etag} if answer.etag else {}


@dataclass(frozen=True)
class LongPoll:
    """Ask for what is new, let the server wait up to `wait` seconds until there is something, and ask again."""

    wait: float = 10.0

    async def follow(self, client: Client) -> None:
        """See `Contender`."""
        http = await client.open_http()
        window = await client.begin()
        async with window.until_deadline():
            while client.seq < window.last:
                await client.asks(http.ask("GET", f"/updates?after={client.seq}&wait={self.wait:g}"))


@dataclass(frozen=True)
class EventStream:
    """Open one response of server-sent events and read on."""

    async def follow(self, client: Client) -> None:
        """See `Contender`."""
        http = await client.open_http()
        await http.start("GET", "/events", headers={"Accept": "text/event-stream"})
        window = await client.begin()
        unread = b""
        async with window.until_deadline():
            async for part in http.body():
                now = time.perf_counter()
                *events, unread = (unread + part).split(b"\n\n")
                client.saw(filter(None, map(event_data, events)), now)
                if client.seq >= window.last:
                    return


@dataclass(frozen=True)
class WebSocketPush:
    """Open one WebSocket and listen."""

    async def follow(self, client: Client) -> None:
        """See `Contender`."""
        connection = WebSocket(await client.connect(), client.url.replace("http", "ws", 1) + "/stream")
        await connection.open()
        window = await client.begin()
        async with window.until_deadline():
            async for message in connection.messages():
                client.saw([json.loads(message)], time.perf_counter())
                if client.seq >= window.last:
                    return


def event_data(event: bytes) -> Any:
    """Decode the data of one server-sent event; a comment has none."""
    lines = (line.removeprefix(b"data: ") for line in event.split(b"\n") if line.startswith(b"data: "))
    return json.loads(b"\n".join(lines) or b"null")
