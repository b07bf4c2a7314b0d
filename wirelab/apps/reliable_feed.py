"""A price feed that holds up: it numbers what it sends, forgets nothing at once, and waits for nobody.

    python -m wirelab.apps.reliable_feed
    python -m wirelab.apps.reliable_client ACME INIT

One task makes the prices of all symbols; every client of a symbol gets the same updates. All messages are JSON
text. A client (→) greets first, then asks for what it wants, at any time; each request has one answer (←)::

    → {"type": "hello", "token": "workshop"}
    ← {"type": "welcome"}
    → {"type": "subscribe", "symbol": "ACME"}               from now on
    → {"type": "subscribe", "symbol": "ACME", "after": 41}   and what came after update 41 too
    ← {"type": "subscribed", "symbol": "ACME", "seq": 41}    the next update is number 42
    ← {"type": "update", "symbol": "ACME", "seq": 42, "price": 99.87}
    → {"type": "unsubscribe", "symbol": "ACME"}
    ← {"type": "unsubscribed", "symbol": "ACME"}
    ← {"type": "error", "error": "…"}                        not understood; nothing has changed

**Resume.** The last `HISTORY` updates of a symbol are kept. If all that came after `after` are still there, the
answer's `seq` is `after`. If not, or if the feed has been started anew, it is another number: there is a gap, and
the feed goes on with the oldest update that it has.

**Slow readers.** The history is the queue, one for all. A client for whom more than `BUFFERED` bytes wait is taken
off the live list; it gets its updates from the history, one by one, as fast as it reads, and goes back on the list
when it has them all. If its buffer stays full for `PATIENCE` seconds, or the history no longer holds its next
update, it is dropped with close code 4008, `TOO_SLOW`. So a client costs a buffer at most, whatever it does.

**Heartbeats** are the library's pings: serve with `OPTIONS`. (Alone they do not find a client that stops reading:
once its buffer is full, they wait behind it.)

**Close codes**: 1008 no valid greeting within `DEADLINE` seconds; 1011 a ping was not answered; 1012 the feed
restarts; 4008 read too slowly.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import secrets
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

TOKEN = "workshop"
SYMBOLS = ("ACME", "GLOB", "INIT", "UMBR")
EVERY = 1.0  # seconds between two updates of a symbol
HISTORY = 1000  # updates of each symbol
DEADLINE = 10.0  # seconds until a client has greeted
PATIENCE = 5.0  # seconds until a full buffer has to have room
BUFFERED = 2**15  # bytes that may wait for a client before it has fallen behind
TOO_SLOW = 4008  # close code, from the range that RFC 6455 (7.4.2) leaves to applications

OPTIONS: dict[str, Any] = {
    "ping_interval": 5.0,
    "ping_timeout": 5.0,
    "close_timeout": 2.0,
    "max_size": 4096,
    "write_limit": BUFFERED,
    "compression": None,
}
"""For `websockets.asyncio.server.serve`: a client whose machine is gone is noticed within 12 seconds."""


class Hello(BaseModel):
    """The first message of a client."""

    model_config = ConfigDict(strict=True)
    type: Literal["hello"]
    token: str


class Subscribe(BaseModel):
    """A client wants the updates of a symbol, those after number `after` or those from now on."""

    model_config = ConfigDict(strict=True)
    type: Literal["subscribe"]
    symbol: str
    after: int | None = None


class Unsubscribe(BaseModel):
    """A client no longer wants the updates of a symbol."""

    model_config = ConfigDict(strict=True)
    type: Literal["unsubscribe"]
    symbol: str


Request = TypeAdapter[Subscribe | Unsubscribe](Annotated[Subscribe | Unsubscribe, Field(discriminator="type")])


class Refused(Exception):
    """A client may not come in; the text says why, for the client to read."""


class TooSlow(Exception):
    """A client does not read as fast as it is promised to."""


class Room:
    """One symbol: its latest updates, and the clients that have them all.

    Attributes:
        seq: the number of the latest update. Numbers begin where the clock stands (milliseconds since 1970), so
            that those of a new run are above those of the run before it, and a client notices that it missed some.
        live: the clients that get each new update at once.
    """

    def __init__(self, symbol: str, history: int) -> None:
        """Begin without updates; keep so many."""
        self.symbol = symbol
        self.seq = time.time_ns() // 1_000_000
        self.live: set[ServerConnection] = set()
        self._texts: deque[str] = deque(maxlen=history)

    @property
    def forgotten(self) -> int:
        """The number of the latest update that is no longer kept."""
        return self.seq - len(self._texts)

    def start(self, after: int | None) -> int:
        """Return the number after which a client can be served that has all up to `after`."""
        if after is None or after > self.seq:
            return self.seq
        return max(after, self.forgotten)

    def text(self, seq: int) -> str:
        """Return an update that is kept, as it is sent."""
        return self._texts[seq - self.forgotten - 1]

    def publish(self, content: dict[str, Any]) -> list[ServerConnection]:
        """Number an update and hand it to every live client; return those who have fallen behind before it."""
        behind = [client for client in self.live if client.transport.get_write_buffer_size() > BUFFERED]
        self.live.difference_update(behind)
        self.seq += 1
        text = json.dumps({"type": "update", "symbol": self.symbol, "seq": self.seq, **content})
        self._texts.append(text)
        broadcast(self.live, text)
        return behind


class Feed:
    """Rooms and their one producer; `handle` serves a client.

    Args:
        symbols: what can be subscribed to.
        every: seconds between two prices of a symbol; None makes none, and leaves it to who calls `publish`.
        history: updates of each symbol that are kept.
        patience: seconds until a full buffer has to have room.
    """

    def __init__(
        self,
        symbols: Iterable[str] = SYMBOLS,
        *,
        every: float | None = EVERY,
        history: int = HISTORY,
        patience: float = PATIENCE,
    ) -> None:
        """Start nothing yet: the producer begins with the first client."""
        self.rooms = {symbol: Room(symbol, history) for symbol in symbols}
        self._every = every
        self._patience = patience
        self._producer: asyncio.Task[None] | None = None
        self._behind: dict[tuple[ServerConnection, Room], asyncio.Task[None]] = {}

    async def handle(self, websocket: ServerConnection) -> None:
        """Serve one client until it leaves; for `websockets.asyncio.server.serve`, with `OPTIONS`."""
        self.start()
        try:
            await admit(websocket)
            await self._send(websocket, type="welcome")
            async for message in websocket:
                await self._obey(websocket, message)
        except ConnectionClosed:
            pass
        except Refused as reason:
            with contextlib.suppress(ConnectionClosed):
                await websocket.send(json.dumps({"type": "error", "error": str(reason)}))
                await websocket.close(CloseCode.POLICY_VIOLATION)
        except TooSlow:
            await self._drop(websocket)
        finally:
            self._forget(websocket)

    def start(self) -> None:
        """Start the producer, unless it runs already."""
        if self._every is not None and (self._producer is None or self._producer.done()):
            self._producer = asyncio.create_task(self._produce(self._every))

    def publish(self, symbol: str, **content: Any) -> int:
        """Send an update of a symbol to all its clients, and return its number; waits for nobody.

        Call it on the event loop that serves.
        """
        room = self.rooms[symbol]
        for client in room.publish(content):
            follower = self._follow_behind(client, room, room.seq - 1)
            self._behind[client, room] = asyncio.create_task(follower)
        return room.seq

    async def _produce(self, every: float) -> None:
        clock = asyncio.get_running_loop().time
        prices = {symbol: random.uniform(95, 105) for symbol in self.rooms}
        due = clock()
        while True:
            for symbol in prices:
                prices[symbol] = min(max(prices[symbol] + random.gauss(0, 0.2), 95), 105)
                self.publish(symbol, price=round(prices[symbol], 2))
            due = max(due + every, clock())
            await asyncio.sleep(due - clock())

    async def _obey(self, websocket: ServerConnection, message: str | bytes) -> None:
        try:
            request = Request.validate_json(as_text(message))
            room = self.rooms[request.symbol]
        except KeyError:
            await self._send(websocket, type="error", error=f"There is no {request.symbol[:64]!r} here")
        except ValueError as problem:
            await self._send(websocket, type="error", error=in_short(problem))
        else:
            self._leave(websocket, room)
            if isinstance(request, Unsubscribe):
                await self._send(websocket, type="unsubscribed", symbol=room.symbol)
                return
            seq = room.start(request.after)
            await self._send(websocket, type="subscribed", symbol=room.symbol, seq=seq)
            await self._catch_up(websocket, room, seq)

    async def _catch_up(self, websocket: ServerConnection, room: Room, seq: int) -> None:
        """Send a client what came after update `seq`, then put it on the live list.

        Raises:
            TooSlow: its next update is no longer kept, or it does not read.
            ConnectionClosed: it left.
        """
        while seq < room.seq:
            if seq < room.forgotten:
                raise TooSlow
            seq += 1
            await self._send_text(websocket, room.text(seq))
        room.live.add(websocket)

    async def _follow_behind(self, websocket: ServerConnection, room: Room, seq: int) -> None:
        try:
            await self._catch_up(websocket, room, seq)
        except ConnectionClosed:
            pass
        except TooSlow:
            await self._drop(websocket)
        finally:
            self._behind.pop((websocket, room), None)

    async def _send(self, websocket: ServerConnection, **message: Any) -> None:
        await self._send_text(websocket, json.dumps(message))

    async def _send_text(self, websocket: ServerConnection, text: str) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await websocket.send(text)
        except TimeoutError:
            raise TooSlow from None

    async def _drop(self, websocket: ServerConnection) -> None:
        self._forget(websocket)
        # The close frame waits behind all that the client has not read, and close() for as long as that takes.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await websocket.close(TOO_SLOW, "reads too slowly")
        websocket.transport.abort()

    def _leave(self, websocket: ServerConnection, room: Room) -> None:
        room.live.discard(websocket)
        follower = self._behind.pop((websocket, room), None)
        if follower is not None and follower is not asyncio.current_task():
            follower.cancel()

    def _forget(self, websocket: ServerConnection) -> None:
        for room in self.rooms.values():
            self._leave(websocket, room)


async def admit(websocket: ServerConnection) -> None:
    """Wait for a client's greeting.

    Raises:
        Refused: it is none, has a wrong token, or does not come in time.
    """
    try:
        async with asyncio.timeout(DEADLINE):
            hello = Hello.model_validate_json(as_text(await websocket.recv()))
    except TimeoutError:
        raise Refused(f"No greeting within {DEADLINE:g} seconds") from None
    except ValueError:
        raise Refused('The first message has to be {"type": "hello", "token": "…"}') from None
    # Takes equally long wherever the difference is: time must not tell how much of a guess was right.
    if not secrets.compare_digest(hello.token.encode(), TOKEN.encode()):
        raise Refused("Invalid token")


def as_text(message: str | bytes) -> str:
    """Return a message that is text.

    Raises:
        ValueError: it is binary.
    """
    if not isinstance(message, str):
        raise ValueError("Send text, not binary data")
    return message


def in_short(problem: ValueError) -> str:
    """What is wrong with a message, in one sentence."""
    if not isinstance(problem, ValidationError):
        return str(problem)
    first = problem.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


async def main() -> None:
    """Serve prices until interrupted; a SIGTERM tells the clients that the feed will be back (1012)."""
    parser = argparse.ArgumentParser(description="A feed of made-up prices that can be resumed.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--every", type=float, default=EVERY, help="seconds between two updates of a symbol")
    parser.add_argument("--history", type=int, default=HISTORY, help="updates of each symbol that are kept")
    parser.add_argument("symbols", nargs="*", default=SYMBOLS)
    options = parser.parse_args()
    prices = Feed(options.symbols, every=options.every, history=options.history)
    async with serve(prices.handle, options.host, options.port, **OPTIONS) as server:
        # Windows has no SIGTERM to wait for.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGTERM, lambda: server.close(code=CloseCode.SERVICE_RESTART)
            )
        prices.start()
        port = next(iter(server.sockets)).getsockname()[1]
        print(f"Prices of {', '.join(prices.rooms)} at ws://{options.host}:{port}", flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    except OSError as no_port:
        sys.exit(str(no_port))
