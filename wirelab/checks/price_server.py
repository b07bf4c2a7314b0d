"""A price stream that a check plays to a learner's client, step by step, and what the client made of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from wirelab.checks import RemoteError, RemoteIterator, Target
from wirelab.checks.evidence import News
from wirelab.checks.exchange import as_json, shown
from wirelab.checks.price_clients import new_symbol
from wirelab.checks.transcript import FAILED, note
from wirelab.checks.websocket_clients import named
from wirelab.checks.websocket_server import PlayedServer, stop

Update: TypeAlias = dict[str, Any]

# Seconds until the client's first move, until each later one, and until each one once it was found hanging.
FIRST_DEADLINE, STEP_DEADLINE, IMPATIENT_DEADLINE = 8.0, 3.0, 1.0
# Seconds in which a client that does not wait for the server shows it.
PREMATURE = 0.06
# Messages on one connection that the server takes, and things beyond those sent that it lets the client yield.
FLOOD, TOO_MANY = 100, 3


@dataclass(frozen=True)
class Move:
    """What the client did when it was asked for the next update.

    Attributes:
        kind: it yielded, ended, raised, did nothing in time, or connected once more.
        value: what it yielded.
        error: what it raised.
        seconds: how long it did nothing.
    """

    kind: Literal["yielded", "ended", "raised", "hung", "came back"]
    value: Any = None
    error: RemoteError | None = None
    seconds: float = 0.0

    @property
    def told(self) -> str:
        """The move in words."""
        match self.kind:
            case "yielded":
                return f"it yielded {as_json(self.value)}"
            case "raised":
                return f"it raised {shown(str(self.error))}"
            case "hung":
                return f"it did nothing for {self.seconds:g} seconds"
            case "came back":
                return "it opened a second connection"
        return "it ended, as if all were well"

    def is_error(self, name: str) -> bool:
        """Whether it raised an exception of this class or one below it."""
        return self.error is not None and name in self.error.names


@dataclass(frozen=True)
class Act:
    """The last thing that the server does, in words and in deed."""

    told: str
    do: Callable[[ServerConnection], Awaitable[None]]


def close(code: int) -> Act:
    """Close with a code."""
    return Act(named(code), lambda connection: connection.close(code))


def break_off() -> Act:
    """Be gone without a close frame."""

    async def abort(connection: ServerConnection) -> None:
        note(f"{FAILED} the check cut the line", connection.id)
        connection.transport.abort()

    return Act("no close frame, as when a line is cut", abort)


def refuse(text: str, code: int | None) -> Act:
    """Send an error, then close with a code, or leave the connection open."""
    message = json.dumps({"error": text})

    async def send_error(connection: ServerConnection) -> None:
        await connection.send(message)
        if code is not None:
            await connection.close(code)

    ending = "no close frame" if code is None else named(code)
    return Act(f"{message} and {ending}", send_error)


@dataclass
class Visit:
    """A connection of the client, and what came over it."""

    connection: ServerConnection
    received: list[str | bytes] = field(default_factory=list)


class Performance:
    """One run of the client against a server that follows a script.

    Attributes:
        token, symbol: what the client was called with.
        visits: the client's connections.
        sent: the updates that the server sent.
        yielded: what the client yielded.
        act: what the server did last, in words; empty if it did not come to that.
        last: what the client did at last: then or, if it did not come to that, instead.
        again: what it did when it was asked once more after its end.
    """

    def __init__(self, news: News, visits: list[Visit], first: float, patience: float) -> None:
        """Use `Stage.perform`."""
        self.token, self.symbol = secrets.token_hex(6), new_symbol()
        self.visits = visits
        self.sent: list[Update] = []
        self.yielded: list[Any] = []
        self.act = ""
        self.last = Move("hung", seconds=first)
        self.again: Move | None = None
        self._news = news
        self._patience = patience
        self._asked: asyncio.Future[Any]

    @property
    def received(self) -> list[str | bytes]:
        """What the client sent over its first connection."""
        return self.visits[0].received if self.visits else []

    @property
    def beyond(self) -> list[Any]:
        """What the client yielded beyond as many updates as the server sent."""
        return self.yielded[len(self.sent) :]

    async def run(self, client: RemoteIterator, act: Act, prices: Sequence[float], burst: Sequence[float]) -> None:
        """See `Stage.perform`."""
        self._ask(client)
        if not await self._news.until(lambda: self.received or self._asked.done(), self.last.seconds):
            return
        for price in prices:
            await self._send(price)
            if not await self._yields(client):
                return
        # A client that ends before the server does would pass for one that ends because of it.
        if await self._news.until(self._has_left, PREMATURE):
            self.last = await self._move()
            return
        for price in burst:
            await self._send(price)
        self.act = act.told
        with contextlib.suppress(ConnectionClosed):
            await act.do(self.visits[0].connection)
        while len(self.yielded) < len(self.sent) + TOO_MANY and await self._yields(client):
            pass
        if self.last.kind == "ended":
            self._ask(client)
            self.again = await self._move()

    def _has_left(self) -> bool:
        return self._asked.done() or any(visit.connection.state is not State.OPEN for visit in self.visits)

    async def _send(self, price: float) -> None:
        self.sent.append({"symbol": self.symbol, "price": price})
        with contextlib.suppress(ConnectionClosed, IndexError):
            await self.visits[0].connection.send(json.dumps(self.sent[-1]))

    async def _yields(self, client: RemoteIterator) -> bool:
        """Wait for the client's next move; if it is an update, take that and ask for another."""
        self.last = await self._move()
        if self.last.kind != "yielded":
            return False
        self.yielded.append(self.last.value)
        self._ask(client)
        return True

    def _ask(self, client: RemoteIterator) -> None:
        self._asked = asyncio.ensure_future(anext(client))
        self._asked.add_done_callback(self._answered)

    def _answered(self, asked: asyncio.Future[Any]) -> None:
        if not asked.cancelled():
            # Looked at, or asyncio would complain of an error that nobody wanted to know.
            asked.exception()
        self._news.tell()

    async def _move(self) -> Move:
        if not await self._news.until(lambda: self._asked.done() or len(self.visits) > 1, self._patience):
            return Move("hung", seconds=self._patience)
        if not self._asked.done():
            return Move("came back")
        try:
            return Move("yielded", self._asked.result())
        except StopAsyncIteration:
            return Move("ended")
        except RemoteError as error:
            return Move("raised", error=error)

    async def stop(self, client: RemoteIterator) -> None:
        """Give up what the client is still doing."""
        self._asked.cancel()
        if self.last.kind != "hung":
            await stop(client)
        for visit in self.visits:
            visit.connection.transport.abort()


class Stage(PlayedServer):
    """The server that a check plays, and the client that is called for each performance."""

    def __init__(self, target: Target, uri: str) -> None:
        """Use `open`."""
        super().__init__(target, uri)
        self._visits: dict[str, list[Visit]] = {}
        self._first, self._patience = FIRST_DEADLINE, STEP_DEADLINE

    async def _receive(self, connection: ServerConnection) -> None:
        assert connection.request
        visit = Visit(connection)
        self._visits.setdefault(connection.request.path, []).append(visit)
        self._news.tell()
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                visit.received.append(message)
                self._news.tell()
                if len(visit.received) == FLOOD:
                    connection.transport.abort()

    async def perform(self, act: Act, prices: Sequence[float] = (), burst: Sequence[float] = ()) -> Performance:
        """Let the client subscribe, send it updates, do one last thing, and see what it makes of that.

        Args:
            act: the last thing.
            prices: sent one after the other, each when the client has yielded the one before it.
            burst: sent all at once right before the last thing.
        """
        path = f"/{secrets.token_hex(4)}"
        visits = self._visits.setdefault(path, [])
        performance = Performance(self._news, visits, self._first, self._patience)
        client = self._target.iterate("follow", self._uri + path, performance.token, performance.symbol)
        try:
            await performance.run(client, act, prices, burst)
        finally:
            await performance.stop(client)
        # Slow is only the first call, which starts a process.
        self._first = self._patience
        if performance.last.kind == "hung":
            self._first = self._patience = IMPATIENT_DEADLINE
        return performance

    async def unwritten(self) -> bool:
        """Whether calling the client gives NotImplementedError, as a stub does that has no ``yield`` yet."""
        return await self._is_stub("follow", secrets.token_hex(6), new_symbol(), seconds=STEP_DEADLINE)
