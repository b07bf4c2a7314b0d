"""The feed that the checks of lab 04 play: `/latest` to whoever polls, `/stream` to whoever listens.

Both follow a script, and note in `perf_counter` seconds what came and what they sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import secrets
import socket
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import h11
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from wirelab.checks import Target
from wirelab.checks.exchange import shown
from wirelab.checks.transcript import FAILED, RECEIVED, SENT, current, note
from wirelab.checks.websocket_server import played

# Requests after which the feed answers no more.
FLOOD = 200
# Seconds that a listener's opening handshake may take.
OPEN_TIMEOUT = 3.0

_random = secrets.SystemRandom()


@dataclass(frozen=True)
class Update:
    """One update; `text` is how it goes over the wire."""

    seq: int
    text: str


class Updates:
    """New updates, numbered from where nobody can have guessed; some have the value of the one before."""

    def __init__(self) -> None:
        """None yet."""
        self._seq = _random.randrange(1_000, 900_000)
        self._value = 100.0

    def new(self, age: float) -> Update:
        """Make the next one, emitted `age` seconds ago."""
        self._seq += 1
        if self._seq % 3:
            self._value = round(_random.uniform(95, 105), 2)
        update = {"seq": self._seq, "value": self._value, "emitted_at": time.perf_counter() - age}
        return Update(self._seq, json.dumps(update))


# To poll.

Fault: TypeAlias = Literal["unavailable", "hung up", "reset"]


@dataclass(frozen=True)
class Turn:
    """What the feed does with one poll.

    Attributes:
        new: whether there is something new since the last one.
        delay: seconds until the answer.
        fault: what the poll gets instead of an answer.
    """

    new: bool = False
    delay: float = 0.0
    fault: Fault | None = None

    @property
    def told(self) -> str:
        """The fault in words."""
        match self.fault:
            case "unavailable":
                return "503 Service Unavailable"
            case "hung up":
                return "a closed connection without an answer"
            case "reset":
                return "a connection that was reset without an answer"
        return "an answer"


@dataclass
class Poll:
    """A poll, and what it got.

    Attributes:
        at: when it was there.
        turn: what the feed does with it.
        condition: its ``If-None-Match``, None without one.
        tag: the ``ETag`` of the latest update.
        seq: of the latest update.
        status: of the answer; 0 as long as there is none, and if there never is one.
        answered: when the answer left.
    """

    at: float
    turn: Turn
    condition: str | None
    tag: str
    seq: int
    status: int = 0
    answered: float = math.inf

    @property
    def delivered(self) -> bool:
        """Whether an update went out to it."""
        return self.status == HTTPStatus.OK

    @property
    def got(self) -> str:
        """What it got, in words."""
        if self.delivered:
            return f"seq {self.seq}"
        return str(self.status) if self.status else "no answer"


class Latest:
    """``GET /latest`` on a socket of its own: the newest update with its ``ETag``, or 304.

    Attributes:
        url: its full address.
        polls: what has come so far.
        strays: requests that are no polls, in words.
    """

    def __init__(self, port: int, turns: Sequence[Turn]) -> None:
        """Use `open`."""
        self.url = f"http://127.0.0.1:{port}/latest"
        self.polls: list[Poll] = []
        self.strays: list[str] = []
        self._turns = turns
        self._updates = Updates()
        self._update: Update
        self._tags: list[str] = []
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target, turns: Sequence[Turn]) -> AsyncIterator[Latest]:
        """Play the feed.

        Args:
            target: gives the socket.
            turns: one for each poll; later polls get the newest update at once.
        """
        sock = await target.listen()
        feed = cls(sock.getsockname()[1], turns)
        server = await asyncio.start_server(feed._converse, sock=sock)
        try:
            yield feed
        finally:
            server.close()
            for connection in feed._connections:
                connection.cancel()
            await asyncio.gather(*feed._connections, return_exceptions=True)

    @property
    def flooded(self) -> bool:
        """Whether it has given up answering."""
        return len(self.polls) + len(self.strays) >= FLOOD

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            protocol = h11.Connection(h11.SERVER)
            # What the client does to its connection is its own affair.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                while await self._answer_next(protocol, reader, writer):
                    protocol.start_next_cycle()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer_next(
        self, protocol: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; whether the connection stays open for more."""
        try:
            request = await _next_request(protocol, reader)
        except h11.RemoteProtocolError as fault:
            self.strays.append(f"what is no HTTP ({shown(str(fault))})")
            note(f"{FAILED} {self.strays[-1]} came", protocol)
            return False
        if request is None or self.flooded:
            return False
        poll = self._poll(request)
        if transcript := current():
            transcript.message(RECEIVED, _as_sent(request), protocol)
        if poll:
            await asyncio.sleep(poll.at + poll.turn.delay - time.perf_counter())
            poll.answered = time.perf_counter()
            if poll.turn.fault in ("hung up", "reset"):
                _leave(writer, rudely=poll.turn.fault == "reset")
                note(f"{FAILED} {poll.turn.told}", protocol)
                return False
        answer = self._answer(protocol, poll)
        writer.write(answer)
        if transcript := current():
            transcript.message(SENT, answer, protocol)
        return protocol.our_state is h11.DONE and protocol.their_state is h11.DONE

    def _poll(self, request: h11.Request) -> Poll | None:
        at = time.perf_counter()
        method, path = request.method.decode(), urlsplit(request.target.decode(errors="replace")).path
        if (method, path) != ("GET", "/latest"):
            self.strays.append(f"{method} {shown(path)}")
            return None
        turn = self._turns[len(self.polls)] if len(self.polls) < len(self._turns) else Turn()
        if turn.new or not self._tags:
            self._update = self._updates.new(age=_random.uniform(0.02, 0.1))
            weak = "W/" if self._update.seq % 2 else ""
            self._tags.append(f'{weak}"{secrets.token_hex(4)}-{secrets.token_hex(2)}"')
        conditions = [
            value.decode(errors="replace") for name, value in request.headers if name == b"if-none-match"
        ]
        poll = Poll(at, turn, ", ".join(conditions) if conditions else None, self._tags[-1], self._update.seq)
        self.polls.append(poll)
        return poll

    def _answer(self, protocol: h11.Connection, poll: Poll | None) -> bytes:
        headers, body = [("Content-Type", "application/json"), ("Cache-Control", "no-cache")], b""
        if poll is None:
            status, body = HTTPStatus.NOT_FOUND, b'{"detail": "Only GET /latest is there."}'
        elif poll.turn.fault:
            status, body = HTTPStatus.SERVICE_UNAVAILABLE, b'{"detail": "Busy."}'
        else:
            headers.append(("ETag", poll.tag))
            status = HTTPStatus.NOT_MODIFIED if self._is_known_to(poll) else HTTPStatus.OK
            body = b"" if status == HTTPStatus.NOT_MODIFIED else self._update.text.encode()
        if poll:
            poll.status = status
        if status != HTTPStatus.NOT_MODIFIED:
            headers.append(("Content-Length", str(len(body))))
        parts = [
            protocol.send(h11.Response(status_code=status, reason=status.phrase, headers=headers)),
            protocol.send(h11.Data(data=body)) if body else b"",
            protocol.send(h11.EndOfMessage()),
        ]
        return b"".join(filter(None, parts))

    def _is_known_to(self, poll: Poll) -> bool:
        """Whether the poller has the latest update. An altered tag costs the check of tags, and no other."""
        if poll.condition is None or poll.condition in self._tags:
            return poll.condition == poll.tag
        return any(earlier.delivered and earlier.seq == poll.seq for earlier in self.polls)


def _as_sent(request: h11.Request) -> bytes:
    first = b" ".join([request.method, request.target, b"HTTP/" + request.http_version])
    return b"\r\n".join([first, *(b": ".join(field) for field in request.headers.raw_items())])


async def _next_request(protocol: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The next request, once all of it is there; None when the client has closed."""
    request = None
    while True:
        event = protocol.next_event()
        match event:
            case h11.NEED_DATA:
                protocol.receive_data(await reader.read(65_536))
            case h11.Request():
                request = event
            case h11.EndOfMessage():
                return request
            case h11.ConnectionClosed() | h11.PAUSED:
                return None


def _leave(writer: asyncio.StreamWriter, *, rudely: bool) -> None:
    """Close a connection, with a reset instead of a farewell if rudely."""
    if rudely:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# To listen to.


@dataclass(frozen=True)
class Sent:
    """An update that went out to a listener, and when."""

    at: float
    seq: int


class Stream:
    """A WebSocket at ``/stream`` on a socket of its own, which sends updates to the first who connects.

    Attributes:
        uri: its full address.
        sent: what it has sent so far.
        strays: handshakes at other paths.
    """

    def __init__(self, port: int, pauses: Sequence[float], every: float | None) -> None:
        """Use `open`."""
        self.uri = f"ws://127.0.0.1:{port}/stream"
        self.sent: list[Sent] = []
        self.strays: list[str] = []
        self._listeners: list[ServerConnection] = []
        self._pauses = pauses
        self._every = every
        self._updates = Updates()

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target, pauses: Sequence[float], every: float | None) -> AsyncIterator[Stream]:
        """Play the stream.

        Args:
            target: gives the socket.
            pauses: seconds before each of the first updates.
            every: seconds from one update to the next after those; None for silence.
        """
        sock = await target.listen()
        stream = cls(sock.getsockname()[1], pauses, every)
        async with played(stream._send_updates, sock, process_request=stream._admit, open_timeout=OPEN_TIMEOUT):
            yield stream

    @property
    def visits(self) -> int:
        """How many connections were opened."""
        return len(self._listeners)

    def end(self) -> None:
        """End every connection without a close frame."""
        for listener in self._listeners:
            listener.transport.abort()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        path = urlsplit(request.path).path
        if path == "/stream":
            return None
        self.strays.append(shown(path))
        return connection.respond(HTTPStatus.NOT_FOUND, "Only /stream is there.\n")

    async def _send_updates(self, connection: ServerConnection) -> None:
        self._listeners.append(connection)
        if self.visits > 1:
            await connection.wait_closed()
            return
        listening = asyncio.ensure_future(_read_to_the_end(connection))
        try:
            with contextlib.suppress(ConnectionClosed):
                for pause in self._pauses:
                    await self._send(connection, pause)
                while self._every is not None:
                    await self._send(connection, self._every)
            await listening
        finally:
            listening.cancel()

    async def _send(self, connection: ServerConnection, pause: float) -> None:
        await asyncio.sleep(pause)
        update = self._updates.new(age=_random.uniform(0.03, 0.08))
        self.sent.append(Sent(time.perf_counter(), update.seq))
        await connection.send(update.text)


async def _read_to_the_end(connection: ServerConnection) -> None:
    """Take whatever the listener says."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in connection:
            pass
