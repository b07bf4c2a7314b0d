"""Clients of the feed under test: they note all that arrives, and may stop to read or to answer.

They are built on the protocol without its input and output, since a library would answer pings by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from wirelab.checks import CannotJudge, Failed, Target
from wirelab.checks.evidence import Subject
from wirelab.checks.exchange import as_json, shown
from wirelab.checks.feed_protocol import WELCOME, Object, hello, subscribe
from wirelab.checks.websocket_clients import Connection, ServedHandler, in_words

# Seconds until a handshake or an answer, on a machine that may be busy; and once a server was found silent.
ANSWER_DEADLINE, IMPATIENT_DEADLINE = 8.0, 1.0
# Bytes of one message, and messages on one connection, that a client takes.
MESSAGE_LIMIT, FLOOD = 2**20, 5000
# Bytes that one look at the socket takes.
CHUNK = 65_536
# Bytes: what the system is asked to keep of what was not read, and of one segment, for a client with little room.
SMALL_BUFFER, SMALL_SEGMENT = 4096, 536


@dataclass(frozen=True)
class Message:
    """A message that arrived; `at` is in `perf_counter` seconds."""

    at: float
    raw: str | bytes

    @cached_property
    def content(self) -> Object:
        """It as a JSON object; empty if it is none."""
        if isinstance(self.raw, str):
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(self.raw)
                if isinstance(value, dict):
                    return value
        return {}

    @property
    def is_update(self) -> bool:
        """Whether it is an update; all else is an answer."""
        return self.content.get("type") == "update"


class Client(Connection):
    """One connection to the feed.

    Attributes:
        messages: what arrived so far, oldest first.
        pings: when pings arrived, in `perf_counter` seconds like all times here.
        little_room: whether little of what it has not read is kept by the system.
    """

    def __init__(
        self, protocol: ClientProtocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Use `Feed.connect`."""
        self.messages: list[Message] = []
        self.pings: list[float] = []
        self.little_room = False
        self._protocol, self._reader, self._writer = protocol, reader, writer
        self._said: list[str | bytes] = []
        self._parts: list[bytes] = []
        self._reads, self._frozen = asyncio.Event(), False
        self._reads.set()
        self._opened = False
        protocol.send_request(protocol.connect())
        self._write()
        super().__init__(writer.transport)

    async def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._reader.read(CHUNK):
                self._protocol.receive_data(data)
                self._take()
                await self._reads.wait()
        self._end(self._protocol.close_rcvd)

    def _take(self) -> None:
        for event in self._protocol.events_received():
            match event:
                case Response():
                    self._opened = self._protocol.handshake_exc is None
                case Frame(opcode=Opcode.PING):
                    self.pings.append(time.perf_counter())
                case Frame(opcode=Opcode.TEXT | Opcode.BINARY | Opcode.CONT):
                    self._take_part(event)
                case Frame(opcode=Opcode.CLOSE):
                    self._end(self._protocol.close_rcvd)
        if not self._frozen:
            self._write()
        self._news.tell()

    def _take_part(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._parts, self._is_text = [], frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        if frame.fin and len(self.messages) < FLOOD:
            data = b"".join(self._parts)
            raw = data.decode(errors="replace") if self._is_text else data
            self.messages.append(Message(time.perf_counter(), raw))

    def _write(self) -> None:
        self._writer.writelines(data for data in self._protocol.data_to_send() if data)

    async def opens(self) -> bool:
        """Wait for the handshake; whether it succeeded."""
        await self.until(lambda: self._opened, ANSWER_DEADLINE)
        return self._opened

    def say(self, message: str | bytes | Object) -> None:
        """Send a message; a closed connection takes it without complaint."""
        if isinstance(message, dict):
            message = json.dumps(message, ensure_ascii=False)
        self._said.append(message)
        if self.ending is None:
            if isinstance(message, str):
                self._protocol.send_text(message.encode())
            else:
                self._protocol.send_binary(message)
            self._write()

    async def ask(self, message: str | bytes | Object, seconds: float = ANSWER_DEADLINE) -> Message | None:
        """Send a message and wait for its answer, the next message that is no update; None if none comes."""
        answered = len(self.answers)
        self.say(message)
        await self.until(lambda: len(self.answers) > answered, seconds)
        return self.answers[answered] if len(self.answers) > answered else None

    def stop_reading(self) -> None:
        """Take nothing more from the socket: what comes piles up there, and then at the server."""
        self._reads.clear()

    def read_on(self) -> None:
        """Take what has piled up."""
        self._reads.set()

    def freeze(self) -> None:
        """Send nothing more, not even the answer to a ping, but go on to note what comes."""
        self._frozen = True

    def vanish(self) -> None:
        """Be gone without a close frame, also if it had stopped reading."""
        super().vanish()
        self._reads.set()

    @property
    def answers(self) -> list[Message]:
        """What arrived and is no update."""
        return [message for message in self.messages if not message.is_update]

    def updates(self, *symbols: str) -> list[Object]:
        """The updates that arrived, of these symbols or of all."""
        found = (message.content for message in self.messages if message.is_update)
        return [update for update in found if not symbols or update.get("symbol") in symbols]

    @property
    def said(self) -> str:
        """What was sent last, in words."""
        return in_words(self._said[-1]) if self._said else "nothing"

    def got_since(self, count: int) -> str:
        """What came after the first so many messages, in words."""
        new = [in_words(message.raw) for message in self.messages[count:]]
        came = ", ".join(new[:2]) + (f" and {len(new) - 2} more messages" if len(new) > 2 else "")
        if self.ending:
            return f"{came}, and then {self.end}" if came else self.end
        return came or "no message"


def _make_little_room(sock: socket.socket) -> bool:
    """Let the system buffer little between a server and this socket; whether it does so on both sides.

    How much a sender's system keeps grows with the size of a segment, which the receiver may set.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT)
    except (OSError, AttributeError):
        return False
    return True


class Feed(ServedHandler):
    """A feed that is being served, and the clients that a check has there."""

    async def connect(self, little_room: bool = False) -> Client:
        """Open a connection.

        Args:
            little_room: the system shall keep as little as it allows of what this client has not read.

        Raises:
            Failed: there is no handshake.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setblocking(False)
        if little_room:
            little_room = _make_little_room(sock)
        address = urlsplit(self.served.ws)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
        except OSError as fault:
            sock.close()
            raise Failed(
                f"Sent the opening of a connection; got {shown(str(fault))}; expected an open one. Does your code "
                "end the server?"
            ) from None
        protocol = ClientProtocol(parse_uri(self.served.ws), max_size=MESSAGE_LIMIT)
        client = Client(protocol, *await asyncio.open_connection(sock=sock))
        client.little_room = little_room
        self._clients.append(client)
        if not await client.opens():
            raise Failed(
                "Sent the opening handshake of a WebSocket; got no answer in time; expected an open connection. "
                "Does your code block the server?"
            )
        return client

    async def greet(self, little_room: bool = False) -> Client:
        """Open a connection and say hello.

        Raises:
            CannotJudge: there is no welcome.
        """
        client = await self.connect(little_room)
        answer = await client.ask(hello())
        if answer is None or answer.content.get("type") != "welcome":
            await self.explain(client)
            if client.unwritten:
                raise client.not_written("who says hello")
            raise CannotJudge(
                f"this needs a welcome. Sent {client.said}; got {client.got_since(0)}; expected "
                f"{as_json(WELCOME)}."
            )
        return client

    async def subscribe(self, *symbols: str, little_room: bool = False) -> Client:
        """Open a connection, say hello and subscribe.

        Raises:
            CannotJudge: a subscription is not acknowledged.
        """
        client = await self.greet(little_room)
        for symbol in symbols:
            answer = await client.ask(subscribe(symbol))
            if answer is None or answer.content.get("type") != "subscribed":
                await self.explain(client)
                if client.unwritten:
                    raise client.not_written("who subscribes")
                raise CannotJudge(
                    f"this needs subscriptions (exercise topics). Sent {client.said}; got {client.got_since(1)}."
                )
        return client

    async def raised(self) -> str:
        """What the server's code raised last, as an aside; empty if it did not."""
        errors = await self.served.errors()
        return f" (your code raised {shown(errors[-1])})" if errors else ""


class Rooms(Subject):
    """The handler under test, and what it has shown so far.

    Attributes:
        feed: the handler as it is served for this exercise.
    """

    def __init__(self, target: Target, feed: Feed) -> None:
        """Use `open`."""
        super().__init__()
        self.feed = feed
        self._target = target

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncIterator[Rooms]:
        """Serve the handler for one exercise."""
        async with _served(target) as feed:
            yield cls(target, feed)

    def serve(self) -> AbstractAsyncContextManager[Feed]:
        """Serve it once more, in a fresh process."""
        return _served(self._target)


def _served(target: Target) -> AbstractAsyncContextManager[Feed]:
    # Without the pings of the library: those of the handler are judged.
    return Feed.start(target, "rooms", ping_interval=None)


def fail(sent: str, got: str, expected: str) -> NoReturn:
    """Fail the check with what was sent, what came back and what was expected."""
    raise Failed(f"Sent {sent}; got {got}; expected {expected}.")


def values(updates: list[Object], member: str) -> list[Any]:
    """One member of each update."""
    return [update.get(member) for update in updates]
