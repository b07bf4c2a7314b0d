"""A board under test: sockets that listen to it, and experiments with its changes."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from websockets.exceptions import WebSocketException

from wirelab.checks import CannotJudge, Failed, NotAttempted, NotStarted, Served, Target
from wirelab.checks.board_messages import Snapshot, Update, read_snapshot, read_update
from wirelab.checks.evidence import Subject, at_once
from wirelab.checks.exchange import Api, Exchange, shown
from wirelab.checks.price_clients import Client
from wirelab.checks.todo_service import STATUSES, new_task, no_handler, todos_within

# Seconds until a message is there on a machine that may be busy, and once one was missed; and in which one that
# should not come shows up.
MESSAGE_DEADLINE, IMPATIENT_DEADLINE, SURPLUS = 4.0, 1.0, 0.25
# Creations, and replacements of one todo, that meet in one instant; snapshots that are taken meanwhile.
CREATIONS, REPLACEMENTS, LOOKS = 24, 8, 12
# How often a snapshot is asked for in the instant in which a message has come.
MOMENTS = 8
# Changes while clients vanish.
AFTERWARDS = 6


class Socket:
    """A client of ``/updates``."""

    def __init__(self, board: Board, client: Client) -> None:
        """Use `Board.listen`."""
        self._board = board
        self._client = client
        self._read: list[Update] = []

    @property
    def client(self) -> Client:
        """The connection, and what came over it."""
        return self._client

    @property
    def updates(self) -> list[Update]:
        """What came so far.

        Raises:
            Failed: one of the messages is none.
        """
        for message in self._client.messages[len(self._read) :]:
            update = read_update(message.raw)
            if isinstance(update, str):
                raise Failed(
                    f"Sent nothing over /updates; got {shown(message.raw)}; expected a position, "
                    f'{{"epoch", "seq"}}, or a change, {{"epoch", "seq", "id", "todo"}}, but {update}.'
                )
            self._read.append(update)
        return self._read

    @property
    def changes(self) -> list[Update]:
        """The changes among them."""
        return [update for update in self.updates if update.is_change]

    @property
    def joined_at(self) -> int:
        """The seq of the position that came first.

        Raises:
            CannotJudge: no position came first.
        """
        updates = self.updates
        if not updates or updates[0].is_change:
            raise CannotJudge(
                "this needs a position as the first message of a socket (publish.position), to know from which "
                "change on it hears them."
            )
        return updates[0].seq

    async def heard(self, count: int) -> bool:
        """Wait until so many changes came; whether they did."""
        return await self._board.patiently(self._client, lambda: len(self.changes) >= count)

    async def hears_more_than(self, count: int) -> bool:
        """Wait for changes beyond so many; whether there are any."""
        return await self._client.until(lambda: len(self.changes) > count, SURPLUS)

    @property
    def got(self) -> str:
        """What came, in words: the changes by number and id."""
        told = [f"change {update.seq} of todo {update.id}" for update in self.changes[:8]]
        more = f" and {len(self.changes) - 8} more" if len(self.changes) > 8 else ""
        return (", ".join(told) + more or "no change") + (f", then {self._client.end}" if self._client.end else "")


class Board(Subject):
    """The application under test, served for one exercise."""

    def __init__(self, target: Target, served: Served, api: Api) -> None:
        """Use `open`."""
        super().__init__()
        self.target = target
        self.api = api
        self._served = served
        self._sockets: list[Socket] = []
        self._patience = MESSAGE_DEADLINE

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target, **options: Any) -> AsyncIterator[Board]:
        """Start the application."""
        async with target.serve("app", **options) as served, Api.open(served) as api:
            board = cls(target, served, api)
            try:
                yield board
            finally:
                await asyncio.gather(*(socket.client.leave() for socket in board._sockets))

    @property
    def port(self) -> int:
        """Where it is served."""
        return int(self._served.http.rpartition(":")[2])

    async def listen(self) -> Socket:
        """Open a socket, and wait for its first message.

        Raises:
            Failed: there is no handshake.
        """
        try:
            client = await Client.open(f"{self._served.ws}/updates")
        except (OSError, WebSocketException) as fault:
            raise Failed(
                f"Sent the opening handshake of a WebSocket to /updates; got none back: "
                f"{shown(str(fault)) or 'it was not answered in time'}; expected an open connection."
            ) from None
        socket = Socket(self, client)
        self._sockets.append(socket)
        await self.patiently(socket.client, lambda: bool(socket.client.messages))
        if socket.client.broke and (errors := await self._served.errors()):
            socket.client.raised = errors[-1]
        return socket

    async def patiently(self, client: Client, condition: Callable[[], bool]) -> bool:
        """Wait until a condition holds, less long when one has not held before; whether it holds."""
        if await client.until(condition, self._patience):
            return True
        self._patience = IMPATIENT_DEADLINE
        return False

    async def snapshot(self) -> tuple[Exchange, Snapshot]:
        """GET /board.

        Raises:
            Failed: it is no snapshot.
            NotAttempted: there is no handler for it.
        """
        answer = await self.api.send("GET", "/board")
        snapshot = read_snapshot(answer.json())
        if await self.api.missing(answer):
            raise no_handler(answer)
        if isinstance(snapshot, str) or not answer.ok:
            answer.fail(f'{{"epoch": "…", "seq": 0, "todos": […]}}, but {snapshot or "the status is no 2xx"}')
        return answer, snapshot

    async def create(self, **fields: str) -> int:
        """Create a todo, and return its id.

        Raises:
            CannotJudge: POST does not work.
        """
        answer = await self.api.send("POST", "/todos", {"task": new_task(), **fields})
        return self.id_from(answer)

    def id_from(self, answer: Exchange) -> int:
        """The id that a creation has given.

        Raises:
            CannotJudge: there is none.
        """
        made = todos_within(answer.json())
        if not answer.ok or not made:
            raise CannotJudge(f"this needs POST /todos to answer with the new todo. {answer.said}.")
        return int(made[0]["id"])

    async def change(self, method: str, id: int, body: Any = None) -> Exchange:
        """PUT or DELETE a todo that there is.

        Raises:
            CannotJudge: it was refused.
        """
        path = f"/todos/{id}"
        answer = await (self.api.send(method, path, body) if body else self.api.send(method, path))
        if not answer.ok:
            raise CannotJudge(f"this needs {method} to work. {answer.said}.")
        return answer


def new_body() -> dict[str, str]:
    """A whole todo, as it is sent."""
    return {"task": new_task(), "status": secrets.choice(STATUSES)}


async def arrival(board: Board) -> tuple[Exchange, Snapshot, Socket]:
    """A socket, and a snapshot taken while nothing happens."""
    socket = await board.listen()
    answer, snapshot = await board.snapshot()
    return answer, snapshot, socket


async def epochs(board: Board) -> tuple[bool, str]:
    """Whether another run of the application has another epoch, and what was not looked at."""
    _, first = await board.snapshot()
    async with Board.open(board.target) as copy:
        if (await copy.snapshot())[1].epoch != first.epoch:
            return True, ""
    try:
        async with Board.open(board.target, own_interpreter=True) as fresh:
            return (await fresh.snapshot())[1].epoch != first.epoch, ""
    except NotStarted:
        return True, "(Whether a new run has a new epoch shows only in `wirelab grade`.)"


@dataclass
class History:
    """Changes that were made one after the other, and who heard them.

    Attributes:
        made: each change in words, with the id that it concerns and the todo as it must be told.
        sockets: two that were there before, and one that came after the first two changes.
    """

    made: list[tuple[str, int, dict[str, Any] | None]] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)


async def history(board: Board) -> History:
    """Create, replace and delete, one after the other."""
    seen = History(sockets=[await board.listen(), await board.listen()])

    async def make(told: str, id: int, todo: dict[str, Any] | None) -> None:
        seen.made.append((told, id, todo))
        await seen.sockets[0].heard(len(seen.made))

    plain = {"task": new_task()}
    answer = await board.api.send("POST", "/todos", plain)
    first = board.id_from(answer)
    await make(answer.sent, first, {"id": first, **plain, "status": "Pending"})
    body = new_body()
    answer = await board.api.send("POST", "/todos", body)
    second = board.id_from(answer)
    await make(answer.sent, second, {"id": second, **body})
    seen.sockets.append(await board.listen())
    body = new_body()
    answer = await board.change("PUT", first, body)
    await make(answer.sent, first, {"id": first, **body})
    answer = await board.change("DELETE", second)
    await make(answer.sent, second, None)
    for socket, missed in zip(seen.sockets, (0, 0, 2), strict=True):
        await socket.heard(len(seen.made) - missed)
    await seen.sockets[0].hears_more_than(len(seen.made))
    return seen


@dataclass
class Refusals:
    """Requests that change nothing, and the changes that were told all the same."""

    answers: list[Exchange]
    told: list[Update]


async def refusals(board: Board) -> Refusals:
    """Ask for what cannot be, and for nothing but a look."""
    socket = await board.listen()
    id = await board.create()
    await socket.heard(1)
    nowhere = f"/todos/{id + 1000 + secrets.randbelow(9000)}"
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/todos", {"status": "Done"}),
        ("POST", "/todos", {"task": 17}),
        ("PUT", f"/todos/{id}", {"status": "Done"}),
        ("PUT", nowhere, new_body()),
        ("DELETE", nowhere, None),
        ("GET", "/board", None),
    ]
    answers, accepted = [], 1
    for method, path, body in asked:
        answer = await (board.api.send(method, path, body) if body else board.api.send(method, path))
        if answer.ok and body:
            # Whoever takes such a thing (another lab's matter) may tell it.
            accepted += 1
        else:
            answers.append(answer)
    await socket.hears_more_than(accepted)
    return Refusals(answers, socket.changes[accepted:])


@dataclass
class Crowd:
    """Many changes at once, and what was seen meanwhile.

    Attributes:
        start: the board before.
        looks: snapshots taken meanwhile.
        end: the board afterwards.
        accepted: how many changes were accepted.
        sockets: two that listened.
    """

    start: Snapshot
    looks: list[Snapshot]
    end: Snapshot
    accepted: int
    sockets: list[Socket]


async def crowd(board: Board) -> Crowd:
    """Create many todos at once, then replace one of them many times at once."""
    one = await board.create()
    sockets = [await board.listen(), await board.listen()]
    _, start = await board.snapshot()
    looks: list[Snapshot] = []

    async def look() -> list[Exchange]:
        for _ in range(LOOKS):
            looks.append((await board.snapshot())[1])
            await asyncio.sleep(0.003)
        return []

    answers: list[Exchange] = []
    for method, path, count in (("POST", "/todos", CREATIONS), ("PUT", f"/todos/{one}", REPLACEMENTS)):
        bodies = [new_body() for _ in range(count)]
        for some in await at_once(board.api.at_once(method, path, bodies), look()):
            answers += some
    accepted = sum(answer.ok for answer in answers)
    if accepted < len(answers):
        refused = next(answer for answer in answers if not answer.ok)
        raise CannotJudge(f"this needs changes that come at once to be accepted. {refused.said}.")
    for socket in sockets:
        await socket.heard(accepted)
    await sockets[0].hears_more_than(accepted)
    _, end = await board.snapshot()
    return Crowd(start, looks, end, accepted, sockets)


@dataclass(frozen=True)
class Moment:
    """A message, and the snapshot that was asked for when it had come."""

    update: Update
    snapshot: Snapshot


async def moments(board: Board) -> list[Moment]:
    """Ask for a snapshot in the instant in which a message has come, again and again."""
    socket = await board.listen()
    seen: list[Moment] = []
    for number in range(MOMENTS):
        creating = asyncio.ensure_future(board.create())
        try:
            if not await socket.heard(number + 1):
                await creating
                raise CannotJudge(f"this needs a message for each change (publish.changes); got {socket.got}.")
            seen.append(Moment(socket.changes[number], (await board.snapshot())[1]))
        finally:
            with contextlib.suppress(CannotJudge, Failed):
                await creating
    return seen


@dataclass
class Departures:
    """What changes came to after two clients had vanished.

    Attributes:
        answers: the answers to the changes.
        stayed: the socket that stayed.
    """

    answers: list[Exchange]
    stayed: Socket


async def departures(board: Board) -> Departures:
    """Let clients vanish without a word, before and after the one that stays; then change the board."""
    async with Board.open(board.target) as fresh:
        first, stayed, last = [await fresh.listen() for _ in range(3)]
        await asyncio.gather(first.client.leave(), last.client.leave())
        bodies = [new_body() for _ in range(AFTERWARDS)]
        answers = [await fresh.api.send("POST", "/todos", body) for body in bodies]
        await stayed.heard(AFTERWARDS)
        return Departures(answers, stayed)


def fail_on(sockets: Sequence[Socket], sent: str, got: str, expected: str) -> NoReturn:
    """Fail with what was sent, what came, and what was expected; with what the server's code raised."""
    raised = next((socket.client.raised for socket in sockets if socket.client.raised), "")
    raise Failed(f"Sent {sent}; got {got}{f' (your code raised {shown(raised)})' if raised else ''}; {expected}.")


def unwritten(socket: Socket) -> NotAttempted:
    """What tells that nobody wrote the socket yet."""
    return socket.client.not_written("who listens to /updates")
