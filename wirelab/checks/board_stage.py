"""A board that a check plays to a learner's mirror, across a relay, and what the mirror makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from wirelab._background import listening_socket
from wirelab.checks import Failed, NotAttempted, NotStarted, RemoteError, RemoteValue, Target
from wirelab.checks.board_messages import difference
from wirelab.checks.evidence import News, Subject
from wirelab.checks.exchange import as_json, shown
from wirelab.checks.todo_service import STATUSES, Todo, new_task
from wirelab.checks.transcript import FAILED, SENT, note
from wirelab.checks.websocket_server import played
from wirelab.link import Relay

# Seconds until a mirror has caught up, on a machine that may be busy; and once it was found lagging.
EQUAL_DEADLINE, IMPATIENT_DEADLINE = 6.0, 3.0
# Seconds for one look at the mirror, and between two of them.
LOOK_DEADLINE, PAUSE = 3.0, 0.02
# Seconds in which what must not happen would show.
QUIET = 0.4
# Seconds until a mirror that nobody wrote has shown it.
STUB_DEADLINE = 1.0
STARTED_WITH = 5


class Stage(Subject):
    """The board, its server and the relay before it. Everything happens to it at a check's command.

    Attributes:
        relay: what stands between the mirror and the board.
        epoch, seq, todos: the board.
        asked: how often a snapshot was asked for.
        opened: how many sockets were opened.
        news: tells of requests, sockets and changes.
        failing: how many of the next snapshots are answered with 503.
        before_snapshot: awaited when a snapshot was asked for and is not made yet.
        on_snapshot: awaited between the moment that a snapshot shows and the moment that it is sent.
    """

    def __init__(self, target: Target, relay: Relay) -> None:
        """Use `open`."""
        super().__init__()
        self.relay = relay
        self.news = News()
        self.patience = EQUAL_DEADLINE
        self._opened_before = 0
        self._target = target
        self._sockets: set[ServerConnection] = set()
        self._held: list[str] | None = None
        self.begin()

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target, *, delay: float, jitter: float = 0.0) -> AsyncIterator[Stage]:
        """For one exercise.

        Args:
            target: has the mirror.
            delay: seconds from the mirror to the board, and as many back.
            jitter: seconds that may be added to it, at random.
        """
        with listening_socket(0) as listener:
            port = listener.getsockname()[1]
            async with Relay(await target.listen(), port, delay=delay, jitter=jitter) as relay:
                stage = cls(target, relay)
                async with played(stage._follow, listener, process_request=stage._answer, close_timeout=0.5):
                    yield stage

    def begin(self, seq: int | None = None) -> None:
        """A new board, with other todos, at `seq` or anywhere; nothing is known of who followed the old one."""
        self.epoch = secrets.token_hex(6)
        first = random.randint(1, 900)
        self._next_id = first + STARTED_WITH
        self.todos: dict[int, Todo] = {id: _todo(id) for id in range(first, self._next_id)}
        self.seq = seq or random.randint(100, 900)
        self.asked = self.opened = self.failing = 0
        self.before_snapshot: Callable[[], Awaitable[None]] | None = None
        self.on_snapshot: Callable[[], Awaitable[None]] | None = None
        self._held = None

    # The server

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/updates":
            return None
        if path != "/board":
            return connection.respond(404, "There are /board and /updates.\n")
        self.asked += 1
        self.news.tell()
        if self.failing:
            self.failing -= 1
            return connection.respond(503, "Come again.\n")
        if self.before_snapshot:
            await self.before_snapshot()
        where = {"epoch": self.epoch, "seq": self.seq, "todos": list(self.todos.values())}
        body = json.dumps(where).encode()
        if self.on_snapshot:
            await self.on_snapshot()
        note(f"{SENT} snapshot {body.decode()}", connection.id)
        length = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        return Response(200, "OK", Headers(length), body)

    async def _follow(self, connection: ServerConnection) -> None:
        self._sockets.add(connection)
        self.opened += 1
        self._send([connection], {})
        self.news.tell()
        with contextlib.suppress(ConnectionClosed):
            async for _ in connection:
                pass
        self._sockets.discard(connection)
        self.news.tell()

    def _send(self, sockets: list[ServerConnection], more: Mapping[str, Any]) -> None:
        broadcast(sockets, json.dumps({"epoch": self.epoch, "seq": self.seq, **more}))

    # What a check does with it

    @property
    def settling(self) -> float:
        """Seconds in which whatever is on its way arrives, and the answer to it."""
        network = self.relay.network
        return 2 * network.round_trip + 4 * network.jitter

    @property
    def listened_to(self) -> bool:
        """Whether a socket is open."""
        return bool(self._sockets)

    def change(self, id: int | None = None, todo: Todo | None = None, *, lost: bool = False) -> None:
        """Make one change, a random one that deletes nothing unless it is given, and tell everybody who listens.

        Args:
            id: of the todo to change.
            todo: what it is from now on; None deletes it.
            lost: the message is not sent.
        """
        if id is None:
            id = self._new_id() if random.random() < 0.5 else random.choice(list(self.todos))
            todo = _todo(id)
        if todo is None:
            del self.todos[id]
        else:
            self.todos[id] = todo
        self.seq += 1
        message = {"id": id, "todo": todo}
        if self._held is not None:
            self._held.append(json.dumps({"epoch": self.epoch, "seq": self.seq, **message}))
        elif lost:
            note(f"{FAILED} the check kept seq {self.seq} to itself, {json.dumps(message)}")
        else:
            self._send(list(self._sockets), message)
        self.news.tell()

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    async def changes(self, count: int) -> None:
        """Make random changes that delete nothing, one after the other."""
        for _ in range(count):
            self.change()
            await asyncio.sleep(random.uniform(0, PAUSE))

    async def history(self, count: int) -> None:
        """Make random changes, deletions among them, one after the other; one todo is deleted in any case."""
        for number in range(count):
            if len(self.todos) > 1 and (number == count // 2 or random.random() < 0.25):
                self.change(random.choice(list(self.todos)), None)
            else:
                self.change()
            await asyncio.sleep(random.uniform(0, PAUSE))

    def say_position(self) -> None:
        """Tell everybody where the board stands."""
        self._send(list(self._sockets), {})

    def hold(self) -> None:
        """Keep the messages of changes back."""
        self._held = []

    def release(self, count: int | None = None) -> None:
        """Send so many of the messages that were kept back, oldest first; or all, and keep back no more."""
        held = self._held or []
        out, self._held = held[:count], (held[count:] if count is not None else None)
        for message in out:
            broadcast(self._sockets, message)

    async def close(self, code: int) -> None:
        """Close every socket in good order."""
        await asyncio.gather(*(connection.close(code) for connection in list(self._sockets)))

    def reset(self) -> None:
        """Reset every connection."""
        note(f"{FAILED} the check reset every connection")
        self.relay.reset()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Let nobody connect in this block."""
        note(f"{FAILED} the check let nobody connect any more")
        self.relay.refuse()
        try:
            yield
        finally:
            self.relay.accept()
        self._opened_before = self.opened

    async def followed_again(self) -> None:
        """Wait until a socket was opened after the last `away`."""
        await self.until(lambda: self.opened > self._opened_before)

    @asynccontextmanager
    async def mirrored(self) -> AsyncIterator[Mirrored]:
        """Let the learner's mirror follow the board from now on."""
        self.begin()
        mirrored = Mirrored(self, self._target)
        try:
            yield mirrored
        finally:
            await mirrored.leave()

    async def until(self, condition: Callable[[], object], seconds: float | None = None) -> bool:
        """Wait until something has happened at the server, or the mirror has failed."""
        return await self.news.until(condition, self.patience if seconds is None else seconds)


class Mirrored:
    """A mirror that runs in the learner's process.

    Attributes:
        error: what it raised, or what its end raised.
    """

    def __init__(self, stage: Stage, target: Target) -> None:
        """Use `Stage.mirrored`."""
        self._stage = stage
        self._leave = asyncio.Event()
        self._value: RemoteValue | None = None
        self.error: RemoteError | NotStarted | None = None
        self._task = asyncio.ensure_future(self._run(target))

    async def _run(self, target: Target) -> None:
        try:
            async with target.enter("mirror", self._stage.relay.http) as value:
                self._value = value
                await self._leave.wait()
        except (RemoteError, NotStarted) as error:
            self.error = error
        finally:
            self._stage.news.tell()

    async def leave(self) -> None:
        """End it when all that is on its way has come, and learn what it raised."""
        await asyncio.sleep(self._stage.settling)
        self._leave.set()
        await asyncio.wait([self._task], timeout=LOOK_DEADLINE)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def connected(self) -> bool:
        """Wait until it listens; whether it does."""
        return await self._stage.until(lambda: self._stage.listened_to or self.error)

    async def look(self) -> Any:
        """What it shows now; None if it shows nothing yet.

        Raises:
            RemoteError: it raised.
            NotStarted: there is none.
        """
        if self.error:
            raise self.error
        if self._value is None:
            return None
        async with asyncio.timeout(LOOK_DEADLINE):
            return await self._value.value()

    async def flaw(self) -> str:
        """In what it is not like the board at this moment, in words; empty if it is."""
        board = {str(id): todo for id, todo in self._stage.todos.items()}
        try:
            shows = await self.look()
        except TimeoutError:
            return f"a mirror that could not be looked at for {LOOK_DEADLINE:g} seconds"
        if shows is None:
            return "no mirror: `async with` has not come to its block yet"
        if not isinstance(shows, dict):
            return f"{as_json(shows)} as its value, which is no dict"
        if not shows and board:
            return f"an empty mirror, and the board has {len(board)} todos"
        fault = difference(shows, board)
        return f"a mirror in which {fault}" if fault else ""

    async def equals(self, sent: str) -> None:
        """Wait until it is equal to the board.

        Args:
            sent: what was done, for the message.

        Raises:
            Failed: it does not become equal in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stage.patience
        while True:
            try:
                fault = await self.flaw()
            except RemoteError as error:
                self.error = error
                fault = "no mirror"
            if not fault:
                return
            if self.error or loop.time() > deadline:
                break
            await asyncio.sleep(PAUSE)
        waited, self._stage.patience = self._stage.patience, IMPATIENT_DEADLINE
        await self.fail(sent, fault, f"it to become equal to the board within {waited:g} seconds")

    async def fail(self, sent: str, got: str, expected: str) -> NoReturn:
        """End it, and fail with what it raised, if it did."""
        await self.leave()
        raised = f" (your code raised {shown(str(self.error))})" if self.error else ""
        raise Failed(f"Sent {sent}; got {got}{raised}; expected {expected}.")


async def untouched(stage: Stage) -> None:
    """See whether anybody has written a mirror.

    Raises:
        NotAttempted: it is a stub.
        NotStarted: there is no mirror.
    """
    async with stage.mirrored() as mirrored:
        await stage.until(lambda: stage.listened_to or stage.asked or mirrored.error, STUB_DEADLINE)
        await mirrored.leave()
        _see_whether_there_is_one(mirrored)


async def never_back(stage: Stage) -> None:
    """See whether anybody has written how a mirror comes back after its connection broke.

    Raises:
        NotAttempted: it is a stub.
        NotStarted: there is no mirror.
    """
    async with stage.mirrored() as mirrored:
        if await stage.until(lambda: stage.listened_to or mirrored.error, STUB_DEADLINE):
            opened = stage.opened
            stage.reset()
            await stage.until(lambda: stage.opened > opened or mirrored.error, STUB_DEADLINE)
        await mirrored.leave()
        _see_whether_there_is_one(mirrored)


def _see_whether_there_is_one(mirrored: Mirrored) -> None:
    if isinstance(mirrored.error, NotStarted):
        raise mirrored.error
    if mirrored.error and mirrored.error.names[0] == "NotImplementedError":
        raise NotAttempted("mirror raises NotImplementedError, since the code for that is not written yet.")


def _todo(id: int) -> Todo:
    return {"id": id, "task": new_task(), "status": random.choice(STATUSES)}
