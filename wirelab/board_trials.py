"""Experiments with a shared board: somebody keeps changing it, and pages of it are kept live in several ways.

The board speaks the protocol of `wirelab.apps.board`, behind a login: requests carry a bearer token, a WebSocket
sends it as its first message, and server-sent events are at ``/events``. Times are `time.perf_counter` seconds;
bytes are those that a client hands to TCP and gets from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ._connections import Http, WebSocket, Wire
from ._followers import event_data
from .schedules import Schedule
from .stats import Floats

# Seconds after the end of an experiment within which the last change has to be seen.
GRACE = 5.0


async def change_todos(url: str, token: str, offsets: Iterable[float]) -> dict[int, float]:
    """Change one todo after the other over REST, at so many seconds from now; late changes are made at once.

    Returns:
        When each change was sent, by its `seq`: nobody else may change the board meanwhile.

    Raises:
        RuntimeError: the board refuses a change, or has nothing to change.
    """
    wire = await Wire.open(url)
    try:
        http, headers = Http(wire, url), {"Authorization": f"Bearer {token}"}
        snapshot = json.loads((await http.ask("GET", "/board", headers=headers)).body)
        if not snapshot.get("todos"):
            raise RuntimeError("There is no todo to change on this board.")
        sent: dict[int, float] = {}
        start = time.perf_counter()
        for number, (offset, todo) in enumerate(zip(offsets, itertools.cycle(snapshot["todos"]), strict=False), 1):
            await asyncio.sleep(start + offset - time.perf_counter())
            sent[snapshot["seq"] + number] = time.perf_counter()
            # A text that was never there before: one that is just like the old one would be no change.
            body = json.dumps({"task": f"Change {snapshot['seq'] + number:06}", "status": todo["status"]})
            answer = await http.ask("PUT", f"/todos/{todo['id']}", headers=headers, body=body.encode())
            if answer.status != 200:
                raise RuntimeError(f"The board answered a change with {answer.status}.")
        return sent
    finally:
        wire.close()


@asynccontextmanager
async def busy(url: str, token: str, rate: float) -> AsyncIterator[None]:
    """Have somebody change the board `rate` times a second until the block ends; see `change_todos`."""
    work = asyncio.create_task(change_todos(url, token, (number / rate for number in itertools.count())))
    try:
        yield
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


@dataclass
class Viewer:
    """A page of the board: what it knows, and what that has cost.

    Attributes:
        known: the `seq` that it stood at, and since when.
        traffic: bytes in both directions so far, and when.
        ready: set when it shows the board for the first time.
    """

    url: str
    token: str
    known: list[tuple[float, int]] = field(default_factory=list)
    traffic: list[tuple[float, int]] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _wires: list[Wire] = field(default_factory=list)

    async def http(self) -> Http:
        """Open a connection for requests."""
        return Http(await self._wire(), self.url)

    async def socket(self) -> WebSocket:
        """Open the socket for updates, and say who we are."""
        socket = WebSocket(await self._wire(), self.url.replace("http", "ws", 1) + "/updates")
        await socket.open()
        socket.say(self.token.encode())
        return socket

    @property
    def headers(self) -> dict[str, str]:
        """What a request carries."""
        return {"Authorization": f"Bearer {self.token}"}

    async def fetch(self, http: Http) -> None:
        """Get the snapshot."""
        answer = await http.ask("GET", "/board", headers=self.headers)
        self.saw(json.loads(answer.body))
        self.ready.set()

    def saw(self, message: Mapping[str, Any]) -> None:
        """Note where the board stands by a message or a snapshot."""
        now = time.perf_counter()
        self.known.append((now, message["seq"]))
        self.traffic.append((now, self.bytes))
        self._news.set()

    async def until(self, seq: int) -> None:
        """Wait until it knows of a change."""
        while self.known[-1][1] < seq:
            self._news.clear()
            await self._news.wait()

    @property
    def bytes(self) -> int:
        """Bytes in both directions so far."""
        return sum(wire.sent + wire.received for wire in self._wires)

    def close(self) -> None:
        """Leave."""
        for wire in self._wires:
            wire.close()

    async def _wire(self) -> Wire:
        self._wires.append(await Wire.open(self.url))
        return self._wires[-1]


class Way(Protocol):
    """A way to keep a page live."""

    async def follow(self, viewer: Viewer) -> None:
        """Keep a page live without end."""


@dataclass(frozen=True)
class PollBoard:
    """Get the whole board every so many seconds, paced by the clock."""

    every: float

    async def follow(self, viewer: Viewer) -> None:
        """See `Way`."""
        http, start = await viewer.http(), time.perf_counter()
        for number in itertools.count():
            await asyncio.sleep(start + number * self.every - time.perf_counter())
            await viewer.fetch(http)


@dataclass(frozen=True)
class BoardEvents:
    """Listen to server-sent events, get the snapshot, then take each change."""

    async def follow(self, viewer: Viewer) -> None:
        """See `Way`."""
        stream = await viewer.http()
        await stream.start("GET", "/events", headers={**viewer.headers, "Accept": "text/event-stream"})
        await viewer.fetch(await viewer.http())
        unread = b""
        async for part in stream.body():
            *events, unread = (unread + part).split(b"\n\n")
            for message in filter(None, map(event_data, events)):
                viewer.saw(message)


@dataclass(frozen=True)
class BoardSocket:
    """Listen to the WebSocket, get the snapshot, then take each change."""

    async def follow(self, viewer: Viewer) -> None:
        """See `Way`."""
        messages = (await viewer.socket()).messages()
        await anext(messages)
        await viewer.fetch(await viewer.http())
        async for message in messages:
            viewer.saw(json.loads(message))


@dataclass(frozen=True)
class Kept:
    """How a page was kept live.

    Attributes:
        ages: for each change, seconds from when it was sent to when the page knew of it, or of a later one.
        traffic: bytes in both directions so far, and at which second of the experiment, to its very end.
    """

    ages: Floats
    traffic: list[tuple[float, int]]

    @property
    def bytes(self) -> int:
        """Bytes in both directions, the opening included."""
        return self.traffic[-1][1]


async def keep_live(
    url: str, token: str, ways: Mapping[str, Way], changes: Schedule, *, through: str | None = None
) -> dict[str, Kept]:
    """Keep a page live in each way at the same time, while somebody changes the board.

    Args:
        url: base URL of the board.
        token: lets everybody in.
        ways: the ways by their names.
        changes: when the board is changed, and how long to look.
        through: base URL under which the pages reach the board, if it is another: a `Link`'s.

    Raises:
        TimeoutError: a page did not learn of the last change.
        ConnectionError: the board closed a connection.
    """
    viewers = {name: Viewer(through or url, token) for name in ways}
    following = [asyncio.create_task(way.follow(viewers[name])) for name, way in ways.items()]
    looking = asyncio.create_task(_look_on(url, token, viewers, changes))
    try:
        await asyncio.wait([looking, *following], return_when=asyncio.FIRST_COMPLETED)
        for failed in following:
            if failed.done():
                failed.result()
                raise ConnectionError("The board ended its stream.")
        return looking.result()
    finally:
        for task in (looking, *following):
            task.cancel()
        await asyncio.gather(looking, *following, return_exceptions=True)
        for viewer in viewers.values():
            viewer.close()


async def _look_on(url: str, token: str, viewers: Mapping[str, Viewer], changes: Schedule) -> dict[str, Kept]:
    for viewer in viewers.values():
        await viewer.ready.wait()
    start = time.perf_counter()
    sent = await change_todos(url, token, changes.offsets.tolist())
    await asyncio.sleep(start + changes.seconds - time.perf_counter())
    ends = {name: (time.perf_counter(), viewer.bytes) for name, viewer in viewers.items()}
    async with asyncio.timeout(GRACE):
        for viewer in viewers.values():
            await viewer.until(max(sent))
    return {
        name: Kept(
            ages=np.array([_known_at(viewer, seq) - at for seq, at in sent.items()]),
            traffic=[(at - start, count) for at, count in [*viewer.traffic, ends[name]] if at <= ends[name][0]],
        )
        for name, viewer in viewers.items()
    }


def _known_at(viewer: Viewer, seq: int) -> float:
    return next(at for at, known in viewer.known if known >= seq)
