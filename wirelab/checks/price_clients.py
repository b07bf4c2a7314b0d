"""Clients of a price stream under test: they note what arrives and when, and every wait has an end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, NoReturn, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from wirelab.checks import Failed, NotStarted, Target
from wirelab.checks.evidence import Subject
from wirelab.checks.exchange import as_json, shown
from wirelab.checks.websocket_clients import Connection, ServedHandler, in_words

TOKEN = "workshop"
INTERVAL = 0.05  # seconds

# Seconds until a handshake is given up on a machine that may be busy.
OPEN_DEADLINE = 8.0
# Bytes of one message, and messages on one connection, that a client takes.
MESSAGE_LIMIT, FLOOD = 65_536, 1000


def new_symbol() -> str:
    """A symbol that nobody can have guessed."""
    return f"{secrets.choice(('ACME', 'Globex', 'initech', 'BRK.B'))}-{secrets.randbelow(10**6)}"


def odd_symbol() -> str:
    """A symbol that is easily spoiled on the way: letters beyond ASCII, small ones, a space, a quotation mark."""
    return f'Öl "€" x{secrets.randbelow(10**6)}'


def subscription(symbol: str) -> str:
    """The first message of a well-behaved client."""
    return json.dumps({"token": TOKEN, "symbol": symbol}, ensure_ascii=False)


def read(raw: str | bytes) -> Any:
    """A message as JSON, numbers with their decimals as they were written.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return json.loads(raw, parse_float=Decimal, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def as_object(raw: str | bytes) -> dict[str, Any]:
    """A message as a JSON object; empty if it is none."""
    with contextlib.suppress(ValueError):
        value = read(raw)
        if isinstance(value, dict):
            return value
    return {}


@dataclass(frozen=True)
class Message:
    """A message that arrived; `at` is in `perf_counter` seconds."""

    at: float
    raw: str | bytes

    @cached_property
    def price(self) -> str:
        """Its price as it was written, of whatever type; without one, all of it."""
        found = as_object(self.raw)
        return str(found["price"]) if "price" in found else shown(self.raw)


class Client(Connection):
    """One connection to the stream.

    Attributes:
        begun: when it was about to open, in `perf_counter` seconds like all times here.
        opened: when it was open.
        subscribed: when a subscription was sent.
        messages: what arrived so far, oldest first.
    """

    def __init__(self, connection: ClientConnection, begun: float) -> None:
        """Use `open`."""
        self._connection = connection
        self.begun = begun
        self.opened = time.perf_counter()
        self.subscribed = math.inf
        self.messages: list[Message] = []
        self._first: str | bytes | None = None
        super().__init__(connection.transport)

    @classmethod
    async def open(cls, uri: str, **options: Any) -> Self:
        """Open a connection, with these options of ``websockets.asyncio.client.connect``.

        Raises:
            OSError: nobody is there, or there was no answer in time.
            WebSocketException: the answer is no handshake.
        """
        begun = time.perf_counter()
        connection = await connect(
            uri,
            proxy=None,
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_DEADLINE,
            max_size=MESSAGE_LIMIT,
            **options,
        )
        return cls(connection, begun)

    async def _read(self) -> None:
        try:
            async for raw in self._connection:
                self.messages.append(Message(time.perf_counter(), raw))
                self._news.tell()
                if len(self.messages) == FLOOD:
                    self._transport.abort()
        except ConnectionClosed:
            pass
        self._end(self._connection.protocol.close_rcvd)

    async def say(self, message: str | bytes) -> None:
        """Send a message; a closed connection takes it without complaint."""
        if self._first is None:
            self._first = message
        with contextlib.suppress(ConnectionClosed):
            await self._connection.send(message)

    async def subscribe(self, symbol: str) -> None:
        """Send a subscription."""
        self.subscribed = time.perf_counter()
        await self.say(subscription(symbol))

    async def pong(self, seconds: float) -> bool:
        """Send a ping: whether its answer comes in time. It comes when all that was sent before was taken."""
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(seconds):
                await (await self._connection.ping())
                return True
        return False

    async def received(self, count: int, seconds: float) -> bool:
        """Wait until there are so many messages; see `until`."""
        return await self.until(lambda: len(self.messages) >= count, seconds)

    async def ended(self, seconds: float) -> bool:
        """Wait until the connection has ended; see `until`."""
        return await self.until(lambda: self.ending is not None, seconds)

    @property
    def waited(self) -> float:
        """Seconds from the open connection to the first message."""
        return self.messages[0].at - self.opened

    def between(self, start: float, end: float) -> list[Message]:
        """The messages that arrived in a span of time."""
        return [message for message in self.messages if start <= message.at < end]

    @property
    def said(self) -> str:
        """What was sent first, in words."""
        return "nothing" if self._first is None else in_words(self._first)

    @property
    def got(self) -> str:
        """What came back, in words."""
        first = [shown(message.raw) for message in self.messages[:2]]
        if len(self.messages) > 2:
            first.append(f"{len(self.messages) - 2} more messages")
        came = ", ".join(first) or "no message"
        if len(self.messages) >= FLOOD:
            return f"{came} (too many to go on listening)"
        return f"{came}, and the connection stayed open" if self.ending is None else f"{came}, and then {self.end}"

    def fail(self, expected: str) -> NoReturn:
        """Fail the check with what was sent, what came back and what was expected."""
        raise Failed(f"Sent {self.said}; got {self.got}; expected {expected}.")


class Stream(ServedHandler):
    """A price stream that is being served, and the clients that a check has there."""

    async def connect(self) -> Client:
        """Open a connection.

        Raises:
            Failed: there is no handshake.
        """
        try:
            client = await Client.open(self.served.ws)
        except (OSError, WebSocketException) as fault:
            why = shown(str(fault)) or "it was not answered in time"
            raise Failed(
                f"Sent the opening handshake of a WebSocket; got none back: {why}; expected an open connection. "
                "Does your code end or block the server?"
            ) from None
        self._clients.append(client)
        return client

    async def subscribe(self, symbol: str) -> Client:
        """Open a connection and subscribe."""
        client = await self.connect()
        await client.subscribe(symbol)
        return client


class PriceStream(Subject):
    """The handler under test, and what it has shown so far.

    Attributes:
        stream: the handler as it is served for this exercise.
        only_copies: a new run was only to be had as a copy of this one, its random generators included.
    """

    def __init__(self, target: Target, stream: Stream) -> None:
        """Use `open`."""
        super().__init__()
        self.stream = stream
        self.only_copies = False
        self._target = target

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncIterator[PriceStream]:
        """Serve the handler for one exercise."""
        async with _served(target) as stream:
            yield cls(target, stream)

    def serve(self, **options: Any) -> AbstractAsyncContextManager[Stream]:
        """Serve it once more, in a fresh process."""
        return _served(self._target, **options)

    @asynccontextmanager
    async def serve_a_new_run(self) -> AsyncIterator[Stream]:
        """Serve it in a fresh interpreter; in a notebook, which has none, in a fresh copy."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(self.serve(own_interpreter=True))
            except NotStarted:
                self.only_copies = True
                stream = await stack.enter_async_context(self.serve())
            yield stream


def _served(target: Target, **options: Any) -> AbstractAsyncContextManager[Stream]:
    return Stream.start(target, "price_stream", ping_interval=1, **options)


def update_flaw(raw: str | bytes, symbol: str) -> str:
    """What is wrong with the shape of an update, in words; empty if nothing is."""
    try:
        update = read(raw)
    except ValueError:
        return "it is no JSON"
    if not isinstance(update, dict):
        return "it is no JSON object, {…}"
    for name in ("symbol", "price"):
        if name not in update:
            return f"it has no {name}"
    if extra := sorted(update.keys() - {"symbol", "price"}):
        return f"it has {', '.join(map(shown, extra))} besides"
    if update["symbol"] != symbol:
        return f"its symbol is {as_json(_plain(update['symbol']))}, not {as_json(symbol)}"
    return ""


def price_flaw(raw: str | bytes) -> str:
    """What is wrong with the price of an update, in words; empty if nothing is, or if there is no price."""
    price = as_object(raw).get("price", 100)
    if isinstance(price, str):
        return f'it is the text "{shown(price)}" in quotation marks, and JSON has numbers'
    if isinstance(price, bool) or not isinstance(price, int | Decimal):
        return f"it is {as_json(_plain(price))}, no number"
    if not 95 <= price <= 105:
        return "it is not from 95 to 105"
    if price != round(Decimal(price), 2):
        return "it has more than two decimals"
    return ""


def _plain(value: Any) -> Any:
    """A value of `read` that can be written as JSON again."""
    return json.loads(json.dumps(value, default=float))
