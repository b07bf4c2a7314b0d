"""A feed that a check plays to a learner's client: it keeps the protocol, and fails as a check wants."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from wirelab.checks import NotStarted, RemoteError, Target
from wirelab.checks import feed_protocol as protocol
from wirelab.checks.evidence import News
from wirelab.checks.exchange import as_json, shown
from wirelab.checks.feed_protocol import Object
from wirelab.checks.price_clients import new_symbol
from wirelab.checks.transcript import FAILED, note
from wirelab.checks.websocket_clients import named
from wirelab.checks.websocket_server import STOP_DEADLINE, PlayedServer, stop

# Seconds until the client's first move, and what it may be late later because the machine is busy.
FIRST_DEADLINE, BUSY = 8.0, 4.0
# Connections and messages of one client after which it gets no more; updates of which a caller takes notice.
FLOOD = 200

Fault: TypeAlias = Literal["reset", "freeze", "restart"]
FAULTS: dict[Fault, str] = {
    "reset": "reset the connection",
    "freeze": "froze, with the connection left open",
    "restart": f"closed with {named(CloseCode.SERVICE_RESTART)}",
}


@dataclass
class Visit:
    """One connection of the client.

    Attributes:
        at: when its handshake came, in `perf_counter` seconds.
        connection: the connection; None if the handshake was refused.
        received: what came over it.
        flaw: what was wrong with the first message that was wrong, in words.
        welcome: whether its hello was answered.
        subscribed: the symbols that it asked for, with their ``after``.
    """

    at: float
    connection: ServerConnection | None = None
    received: list[str | bytes] = field(default_factory=list)
    flaw: str = ""
    welcome: bool = False
    subscribed: dict[str, int | None] = field(default_factory=dict)

    async def say(self, message: Object) -> None:
        """Send a message; a connection that has ended takes it without complaint."""
        if self.connection:
            with contextlib.suppress(ConnectionClosed):
                await self.connection.send(json.dumps(message))

    def reset(self) -> None:
        """End the TCP connection with a reset, as a machine does that knows nothing of it."""
        assert self.connection
        sock = self.connection.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.transport.abort()

    def freeze(self) -> None:
        """Read nothing any more: pings stay without an answer, and nothing is closed."""
        assert self.connection
        self.connection.transport.pause_reading()

    async def close(self, code: int) -> None:
        """Close with a code; does not wait for the client's answer."""
        assert self.connection
        closing = asyncio.ensure_future(self.connection.close(code))
        await asyncio.wait([closing], timeout=0.2)


class Call:
    """One call of ``stay_connected``, and the feed that it meets: a feed of its own.

    Attributes:
        token, symbols: what it is called with.
        visits: its connections so far.
        sent: the updates of each symbol that were made, whoever saw them.
        kept: the number of the last update of each symbol that is no longer kept.
        yielded: what the generator has yielded, with the time.
        error: what it raised.
        ended: whether it has ended, also by raising.
        refuses: how many of the next handshakes are answered with 503.
    """

    def __init__(self, news: News, symbols: int) -> None:
        """Use `Stage.call`."""
        self.path = f"/{secrets.token_hex(4)}"
        self.token = secrets.token_hex(6)
        self.symbols = [f"{new_symbol()}.{number}" for number in range(symbols)]
        self.visits: list[Visit] = []
        self.made: dict[str, list[Object]] = {symbol: [] for symbol in self.symbols}
        # Each run of a feed begins to count at a number of its own.
        self.seqs = {symbol: secrets.randbelow(10**6) for symbol in self.symbols}
        self.forgotten = dict(self.seqs)
        self.yielded: list[tuple[float, Any]] = []
        self.error: RemoteError | None = None
        self.ended = False
        self._missing: NotStarted | None = None
        self.refuses = 0
        self._news = news

    # What the feed does.

    async def make(self, *symbols: str) -> None:
        """Make an update of each symbol, and send it to the newest connection if that asked for it."""
        for symbol in symbols:
            self.seqs[symbol] += 1
            made = protocol.update(symbol, self.seqs[symbol], secrets.randbelow(10**6))
            self.made[symbol].append(made)
            if self.visits and symbol in self.visits[-1].subscribed:
                await self.visits[-1].say(made)

    def forget(self, symbol: str) -> None:
        """Keep none of the updates of a symbol that were made so far."""
        self.forgotten[symbol] = self.seqs[symbol]

    def start_anew(self, symbol: str, seq: int) -> None:
        """Count from a lower number, as a feed that was started anew, and know nothing of before."""
        self.seqs[symbol] = self.forgotten[symbol] = seq

    async def fault(self, fault: Fault) -> float:
        """Do that to the newest connection; return when."""
        visit = self.visits[-1]
        # From here on nothing is sent to it.
        visit.subscribed.clear()
        at = time.perf_counter()
        if visit.connection:
            note(f"{FAILED} the check {FAULTS[fault]}", visit.connection.id)
        match fault:
            case "reset":
                visit.reset()
            case "freeze":
                visit.freeze()
            case "restart":
                await visit.close(CloseCode.SERVICE_RESTART)
        return at

    async def refuse(self, text: str) -> None:
        """Send an error and close the newest connection with 1008."""
        await self.visits[-1].say(protocol.error(text))
        await self.visits[-1].close(CloseCode.POLICY_VIOLATION)

    async def receive(self, visit: Visit) -> None:
        """Answer what comes over a connection."""
        assert visit.connection
        with contextlib.suppress(ConnectionClosed):
            async for raw in visit.connection:
                visit.received.append(raw)
                if len(visit.received) > FLOOD:
                    visit.connection.transport.abort()
                await self._answer(visit, raw)
                self._news.tell()

    async def _answer(self, visit: Visit, raw: str | bytes) -> None:
        request: Any = None
        with contextlib.suppress(ValueError, RecursionError):
            request = json.loads(raw)
        if flaw := self._flaw(visit, request):
            visit.flaw = visit.flaw or f"it sent {shown(raw)}, and {flaw}"
            await visit.say(protocol.error(flaw))
        elif visit.welcome:
            await self._subscribe(visit, request["symbol"], request.get("after"))
        else:
            visit.welcome = True
            await visit.say(protocol.WELCOME)

    def _flaw(self, visit: Visit, request: Any) -> str:
        if not isinstance(request, dict):
            return "it is no JSON object"
        if not visit.welcome:
            expected = protocol.hello(self.token)
            return "" if request == expected else f"the first message has to be {as_json(expected)}"
        if request.get("type") != "subscribe":
            return "it is no subscription"
        if flaw := protocol.subscription_flaw(request):
            return flaw
        return "" if request["symbol"] in self.symbols else "that symbol is none of those it was called with"

    async def _subscribe(self, visit: Visit, symbol: str, after: int | None) -> None:
        last, forgotten = self.seqs[symbol], self.forgotten[symbol]
        # What is no longer kept is left out; a number that this feed has not reached says nothing.
        seq = last if after is None or after > last else max(after, forgotten)
        await visit.say(protocol.subscribed(symbol, seq))
        while seq < self.seqs[symbol]:
            seq += 1
            await visit.say(next(made for made in self.made[symbol] if made["seq"] == seq))
        visit.subscribed[symbol] = after

    # What the client does.

    async def until(self, condition: Any, seconds: float) -> bool:
        """Wait until something holds, or the generator has ended.

        Raises:
            NotStarted: there is no such function.
        """
        await self._news.until(lambda: condition() or self.ended, seconds)
        if self._missing:
            raise self._missing
        return bool(condition())

    async def connected(self, number: int, seconds: float) -> bool:
        """Wait until connection number 1, 2, … has said hello and asked for every symbol."""
        return await self.until(
            lambda: len(self.visits) >= number and len(self.visits[-1].subscribed) == len(self.symbols), seconds
        )

    async def welcomed(self, number: int, seconds: float) -> bool:
        """Wait until connection number 1, 2, … has said hello, and was answered."""
        return await self.until(lambda: len(self.visits) >= number and self.visits[-1].welcome, seconds)

    async def visited(self, number: int, seconds: float) -> bool:
        """Wait until there were so many connections, refused ones too."""
        return await self.until(lambda: len(self.visits) >= number, seconds)

    async def has_yielded(self, update: Object, seconds: float) -> bool:
        """Wait until the caller got an update."""
        return await self.until(lambda: any(value == update for _, value in self.yielded), seconds)

    def of(self, symbol: str) -> list[Any]:
        """What the caller got of a symbol."""
        return [value for _, value in self.yielded if isinstance(value, dict) and value.get("symbol") == symbol]

    async def pull(self, client: Any) -> None:
        """Ask the generator for one item after the other, until it ends."""
        try:
            async for value in client:
                self.yielded.append((time.perf_counter(), value))
                self._news.tell()
                if len(self.yielded) > FLOOD:
                    break
        except RemoteError as error:
            self.error = error
        except NotStarted as missing:
            self._missing = missing
        self.ended = True
        self._news.tell()

    @property
    def end(self) -> str:
        """How the generator ended, in words; empty if it has not."""
        if self.error:
            return f"it raised {shown(str(self.error))}"
        return "it ended, as if all were well" if self.ended else ""

    @property
    def called(self) -> str:
        """How it was called, in words."""
        return f'Called stay_connected(uri, "{self.token}", {as_json(self.symbols)})'


class Stage(PlayedServer):
    """The server that a check plays, and the calls of the client that meet it."""

    def __init__(self, target: Target, uri: str) -> None:
        """Use `open`."""
        super().__init__(target, uri)
        self._calls: dict[str, Call] = {}

    async def unwritten(self, call: Call) -> bool:
        """Whether a call met code that nobody has written yet, be it a stub that has no ``yield``."""
        if call.error is None:
            return False
        if call.error.names[0] == "NotImplementedError" or call.visits:
            return call.error.names[0] == "NotImplementedError"
        return await self._is_stub("stay_connected", call.token, call.symbols, seconds=STOP_DEADLINE)

    def _handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        call = self._calls.get(request.path)
        if call is None or len(call.visits) > FLOOD:
            return connection.respond(HTTPStatus.NOT_FOUND, "Nothing here\n")
        visit = Visit(time.perf_counter())
        call.visits.append(visit)
        self._news.tell()
        if call.refuses:
            call.refuses -= 1
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Come back later\n")
        visit.connection = connection
        return None

    async def _receive(self, connection: ServerConnection) -> None:
        assert connection.request
        call = self._calls[connection.request.path]
        visit = next(visit for visit in call.visits if visit.connection is connection)
        await call.receive(visit)

    @asynccontextmanager
    async def call(self, symbols: int = 3, refuses: int = 0) -> AsyncIterator[Call]:
        """Call the client, and go on asking it for more; ends what is left of it."""
        call = Call(self._news, symbols)
        call.refuses = refuses
        self._calls[call.path] = call
        client = self._target.iterate("stay_connected", self._uri + call.path, call.token, call.symbols)
        pulling = asyncio.ensure_future(call.pull(client))
        try:
            yield call
        finally:
            pulling.cancel()
            await asyncio.wait([pulling])
            del self._calls[call.path]
            await stop(client)
            for visit in call.visits:
                if visit.connection:
                    visit.connection.transport.abort()
