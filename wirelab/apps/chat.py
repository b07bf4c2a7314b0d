"""Chat rooms that are served by several workers, with a broker behind them.

    python -m wirelab.apps.broker                # or: redis-server --port 6379
    python -m wirelab.apps.chat --port 8001      # with Redis: --broker redis://127.0.0.1:6379
    python -m wirelab.apps.chat --port 8002

    POST /rooms/{room}/messages             {"text"} → 201 {"seq", "text"}; 503 while the broker is away
    GET /rooms/{room}/messages?after=SEQ    {"messages": [{"seq", "text"}]}: what the broker still has
    WebSocket /rooms/{room}?after=SEQ       {"seq", "text"} for each message after SEQ, or from now on
    GET /worker                             {"worker", "members"}: its process, and how many sockets it holds

A worker keeps nothing that another one would miss. Whoever posts tells the broker alone; the broker numbers the
room's messages in one order; each worker listens to the rooms in which it has members, and hands on what it hears,
also to the members of the worker that was posted to. So every member gets every message once, in the same order.

A member that comes back, to whichever worker, says in `after` what it has. It gets the rest from the broker's
history, then what comes; what is in both has the same number, and is sent once. Whoever reads too slowly is
dropped with close code 4008, and comes back in the same way; 1013 says that the broker is away.

Two brokers are known, behind one small interface, `Broker`: `zmq://127.0.0.1:PORT` is `broker.py` beside this
file, `redis://127.0.0.1:PORT` a Redis server, 5.0 or above.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, NamedTuple, Protocol

import redis.asyncio as redis
import uvicorn
import zmq
import zmq.asyncio
from fastapi import FastAPI, HTTPException, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

DEFAULT_BROKER = "zmq://127.0.0.1:8770"
HISTORY = 1000  # messages of each room that Redis keeps
PATIENCE = 2.0  # seconds until a broker that does not answer counts as away
RENEWAL = 0.5  # seconds after which a ZeroMQ broker is told again who listens
MAX_DELAY = 0.5  # seconds until a lost broker is tried again, at most
MOST_WAITING = 1000  # messages that may wait for one member
TOO_SLOW, TRY_AGAIN_LATER = 4008, 1013  # close codes


class Message(NamedTuple):
    """A room's message, and its number there."""

    seq: int
    text: str


class BrokerAway(ConnectionError):
    """The broker does not answer."""


class Broker(Protocol):
    """What a worker asks of a broker, whichever it is."""

    async def publish(self, room: str, text: str) -> int:
        """Pass a message on, and return its number.

        Raises:
            BrokerAway: it is not certain whether the message was passed on.
        """

    async def history(self, room: str, after: int) -> list[Message]:
        """The messages after a number, as far as they are kept, oldest first.

        Raises:
            BrokerAway: there is no answer.
        """

    async def position(self, room: str) -> int:
        """The number of the room's last message.

        Raises:
            BrokerAway: there is no answer.
        """

    def subscribe(self, room: str, after: int) -> AsyncGenerator[Message, None]:
        """Every message after a number, once and in order, for ever: a lost broker is come back to."""

    async def close(self) -> None:
        """Hang up."""


def connect(url: str) -> Broker:
    """A client of the broker at a URL; call it on the event loop that uses it.

    Raises:
        ValueError: no such broker is known.
    """
    scheme = url.partition("://")[0]
    if scheme == "zmq":
        return ZmqBroker(url)
    if scheme == "redis":
        return RedisBroker(url)
    raise ValueError(f"A broker is zmq://127.0.0.1:PORT or redis://127.0.0.1:PORT, not {url!r}")


class ZmqBroker:
    """A client of `broker.py`; that file tells the protocol."""

    def __init__(self, url: str) -> None:
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.DEALER)
        # Nothing is kept for later: a message that was given up must not be published after all.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3000)
        self._socket.connect(f"tcp{url.removeprefix('zmq')}")
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._heard: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    async def publish(self, room: str, text: str) -> int:
        """See `Broker`."""
        return int((await self._ask("publish", room=room, text=text))["seq"])

    async def history(self, room: str, after: int) -> list[Message]:
        """See `Broker`."""
        answer = await self._ask("history", room=room, after=after)
        return [Message(*message) for message in answer["messages"]]

    async def position(self, room: str) -> int:
        """See `Broker`."""
        # After a number that no room reaches there is nothing to send along.
        return int((await self._ask("history", room=room, after=2**62))["seq"])

    async def subscribe(self, room: str, after: int) -> AsyncGenerator[Message, None]:
        """See `Broker`."""
        id, heard = next(self._numbers), asyncio.Queue[dict[str, Any]]()
        self._heard[id] = heard
        clock = asyncio.get_running_loop().time
        due = clock()
        try:
            while True:
                if clock() >= due:
                    with contextlib.suppress(TimeoutError):
                        await self._send({"do": "listen", "id": id, "room": room, "after": after}, RENEWAL)
                    due = clock() + RENEWAL
                try:
                    async with asyncio.timeout_at(due):
                        message = await heard.get()
                except TimeoutError:
                    continue
                # Else it came twice, or something before it was lost: then it comes again.
                if message["prev"] == after:
                    after = message["seq"]
                    yield Message(after, message["text"])
        finally:
            del self._heard[id]

    async def close(self) -> None:
        """See `Broker`."""
        self._reading.cancel()
        self._context.destroy(linger=0)

    async def _ask(self, do: str, **what: Any) -> dict[str, Any]:
        call = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._calls[call] = answer
        try:
            async with asyncio.timeout(PATIENCE):
                await self._send({"do": do, "call": call, **what}, PATIENCE)
                return await answer
        except TimeoutError:
            raise BrokerAway(f"The broker has not answered within {PATIENCE:g} seconds") from None
        finally:
            del self._calls[call]

    async def _send(self, message: dict[str, Any], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await self._socket.send(json.dumps(message).encode())

    async def _read(self) -> None:
        while True:
            message = json.loads(await self._socket.recv())
            if (answer := self._calls.get(message.get("call"))) and not answer.done():
                answer.set_result(message)
            elif heard := self._heard.get(message.get("id")):
                heard.put_nowait(message)


class RedisBroker:
    """A client of a Redis server: each room is a stream, and its numbers are the entries' ids.

    A stream is a queue, a history and a memory of where it stands in one. Redis would number the entries by its
    clock; a script, which nothing comes between, numbers them without holes. Like `broker.py`, it begins where the
    clock stands, so that a Redis that has lost everything does not give old numbers again.
    """

    PUBLISH = """
        if redis.call('EXISTS', KEYS[2]) == 0 then
            local now = redis.call('TIME')
            redis.call('SET', KEYS[2], now[1] * 1000 + math.floor(now[2] / 1000))
        end
        local seq = redis.call('INCR', KEYS[2])
        redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], string.format('%d-1', seq), 'text', ARGV[1])
        return seq
    """

    def __init__(self, url: str) -> None:
        # A publication that is tried again by itself could come twice.
        self._redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=PATIENCE,
            socket_timeout=2 * PATIENCE,
        )

    async def publish(self, room: str, text: str) -> int:
        """See `Broker`."""
        with away_if_broken():
            return int(await self._redis.eval(self.PUBLISH, 2, stream_of(room), f"seq:{room}", text, HISTORY))

    async def history(self, room: str, after: int) -> list[Message]:
        """See `Broker`."""
        with away_if_broken():
            entries: Any = await self._redis.xrange(stream_of(room), min=str(after + 1))
        return [message_from(id, fields) for id, fields in entries]

    async def position(self, room: str) -> int:
        """See `Broker`."""
        with away_if_broken():
            return int(await self._redis.get(f"seq:{room}") or 0)

    async def subscribe(self, room: str, after: int) -> AsyncGenerator[Message, None]:
        """See `Broker`."""
        while True:
            try:
                with away_if_broken():
                    # Waits for the next entry, or for a while.
                    streams: Any = {stream_of(room): f"{after}-1"}
                    found: Any = await self._redis.xread(streams, block=int(1000 * PATIENCE))
            except BrokerAway:
                await asyncio.sleep(random.uniform(0, MAX_DELAY))
                continue
            for _, entries in found:
                for id, fields in entries:
                    message = message_from(id, fields)
                    yield message
                    after = message.seq

    async def close(self) -> None:
        """See `Broker`."""
        await self._redis.aclose()


@contextlib.contextmanager
def away_if_broken() -> Any:
    """Make whatever keeps Redis from answering a `BrokerAway`."""
    try:
        yield
    except (RedisError, OSError) as fault:
        raise BrokerAway(f"Redis does not answer: {fault}") from None


def stream_of(room: str) -> str:
    """The key of a room's stream."""
    return f"room:{room}"


def message_from(id: str, fields: dict[str, str]) -> Message:
    """An entry of a stream as a message."""
    return Message(int(id.partition("-")[0]), fields["text"])


# The worker


class Member:
    """A socket in a room: the messages that wait for it, and None once they are too many."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[Message | None] = asyncio.Queue()

    def tell(self, message: Message) -> None:
        """Let a message wait; never waits itself."""
        if self.waiting.qsize() < MOST_WAITING:
            self.waiting.put_nowait(message)
        elif self.waiting.qsize() == MOST_WAITING:
            self.waiting.put_nowait(None)


class Room:
    """A room as one worker has it: its own members, and one subscription for all of them.

    Attributes:
        listening: done when each later message is sure to be heard.
    """

    def __init__(self, name: str, broker: Broker) -> None:
        self.name = name
        self.members: set[Member] = set()
        self.listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._broker = broker
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while not self.listening.done():
            try:
                position = await self._broker.position(self.name)
                self.listening.set_result(None)
            except BrokerAway:
                await asyncio.sleep(random.uniform(0, MAX_DELAY))
        async with aclosing(self._broker.subscribe(self.name, position)) as messages:
            async for message in messages:
                for member in self.members:
                    member.tell(message)

    async def close(self) -> None:
        """Stop listening."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Worker:
    """The rooms of one worker."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.rooms: dict[str, Room] = {}

    @property
    def members(self) -> int:
        """How many sockets it holds."""
        return sum(len(room.members) for room in self.rooms.values())

    @asynccontextmanager
    async def member_of(self, name: str) -> AsyncIterator[tuple[Room, Member]]:
        """Be in a room; the last one who leaves closes it."""
        # Nothing is awaited from here to the end of `add`: two who come at once find one room.
        if name not in self.rooms:
            self.rooms[name] = Room(name, self.broker)
        room, member = self.rooms[name], Member()
        room.members.add(member)
        try:
            yield room, member
        finally:
            room.members.discard(member)
            if not room.members:
                del self.rooms[name]
                await room.close()

    async def serve(self, websocket: WebSocket, name: str, after: int | None) -> None:
        """Accept a member once it cannot miss anything any more, and send it everything."""
        async with self.member_of(name) as (room, member):
            try:
                async with asyncio.timeout(2 * PATIENCE):
                    await asyncio.shield(room.listening)
                # Asked for while the member is listening: what comes meanwhile waits for it.
                last = await self.broker.position(name) if after is None else after
                missed = [] if after is None else await self.broker.history(name, after)
            except (BrokerAway, TimeoutError):
                await websocket.accept()
                await websocket.close(TRY_AGAIN_LATER, "The broker is away.")
                return
            await websocket.accept()
            sending = asyncio.create_task(send_messages(websocket, member, last, missed))
            try:
                while (await websocket.receive())["type"] != "websocket.disconnect":
                    pass
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)


async def send_messages(websocket: WebSocket, member: Member, last: int, missed: list[Message]) -> None:
    """Send a member what it has missed, then what waits for it; each number once."""
    with contextlib.suppress(WebSocketDisconnect):
        for message in missed:
            await websocket.send_json(message._asdict())
            last = message.seq
        while (new := await member.waiting.get()) is not None:
            if new.seq > last:
                await websocket.send_json(new._asdict())
                last = new.seq
        await websocket.close(TOO_SLOW, "You read too slowly. Come back, and say after which number.")


# A number that a broker can count with: Redis takes 64 bits.
After = Annotated[int, Query(ge=0, lt=2**63)]


class NewMessage(BaseModel):
    """What somebody posts."""

    text: Annotated[str, Field(min_length=1, max_length=2000)]


class Posted(BaseModel):
    """A message of a room."""

    seq: int
    text: str


class History(BaseModel):
    """What a room still has."""

    messages: list[Posted]


def create_app(broker_url: str = DEFAULT_BROKER) -> FastAPI:
    """One worker; start as many as you like.

    Args:
        broker_url: the broker that all of them share, see `connect`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.worker = Worker(connect(broker_url))
        try:
            yield
        finally:
            await app.state.worker.broker.close()

    app = FastAPI(title="Chat", lifespan=lifespan)
    app.exception_handler(RequestValidationError)(refuse)

    @app.post("/rooms/{room}/messages", status_code=201)
    async def post_message(room: str, new: NewMessage) -> Posted:
        try:
            seq = await app.state.worker.broker.publish(room, new.text)
        except BrokerAway as away:
            raise HTTPException(503, str(away), {"Retry-After": "1"}) from None
        return Posted(seq=seq, text=new.text)

    @app.get("/rooms/{room}/messages")
    async def get_messages(room: str, after: After = 0) -> History:
        try:
            kept = await app.state.worker.broker.history(room, after)
        except BrokerAway as away:
            raise HTTPException(503, str(away), {"Retry-After": "1"}) from None
        return History(messages=[Posted(seq=seq, text=text) for seq, text in kept])

    @app.websocket("/rooms/{room}")
    async def join(websocket: WebSocket, room: str, after: After | None = None) -> None:
        await app.state.worker.serve(websocket, room, after)

    @app.get("/worker")
    async def worker() -> dict[str, int]:
        return {"worker": os.getpid(), "members": app.state.worker.members}

    return app


async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong with a request, without its input.

    FastAPI's own answer repeats that, and fails where it cannot be written as JSON: NaN, half a surrogate pair.
    """
    faults = [{key: fault[key] for key in ("type", "loc", "msg")} for fault in error.errors()]
    return JSONResponse({"detail": faults}, 422)


def main() -> None:
    """Serve one worker from a shell."""
    parser = argparse.ArgumentParser(description="Chat rooms over several workers.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--broker", default=DEFAULT_BROKER, help="zmq://127.0.0.1:PORT or redis://127.0.0.1:PORT")
    options = parser.parse_args()
    uvicorn.run(create_app(options.broker), host=options.host, port=options.port)


if __name__ == "__main__":
    main()
