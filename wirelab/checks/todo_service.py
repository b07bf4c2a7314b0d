"""A todo service as a check meets it, whatever it is built with."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self, TypeAlias, TypeVar, cast

from wirelab.checks import CannotJudge, Failed, NotAttempted, Target
from wirelab.checks.exchange import Api, Exchange, as_json, named

T = TypeVar("T")
Todo: TypeAlias = dict[str, Any]

STATUSES = ("In progress", "Blocked", "Done", "Waiting")
# Bodies that no handler may accept, each with the fault in words.
BAD_BODIES: tuple[tuple[str, bytes], ...] = (
    ("there is no task in it", b'{"status": "Done"}'),
    ("the task is a number, no text", b'{"task": 17}'),
    ("the task is a list, no text", b'{"task": ["buy", "milk"]}'),
    ("the task is null, no text", b'{"task": null}'),
    ("the status is a number, no text", b'{"task": "buy milk", "status": 1}'),
    ("the status is null, no text", b'{"task": "buy milk", "status": null}'),
    ("it breaks off in the middle, so it is no JSON", b'{"task": "buy mi'),
    ("it is JSON, but no object with a task", b'["buy milk"]'),
)


def new_task() -> str:
    """A task that nobody can have guessed."""
    verb = secrets.choice(("Water", "Repair", "Paint", "Photograph", "Return", "Wrap"))
    thing = secrets.choice(("the fern", "the bicycle", "the fence", "the kite", "the atlas", "the lamp"))
    return f"{verb} {thing} {secrets.randbelow(10**6)}"


class Todos:
    """The service under test, and what more than one exercise asks of it.

    Whatever an exercise needs from outside its own row is taken in any shape that a learner may have given it.

    Attributes:
        collection: the path of all todos.
        client: what to send requests with.
    """

    collection = "/todos"
    client: type[Api] = Api

    def __init__(self, target: Target, api: Api) -> None:
        """Speak through `api` to a service that `target` has started."""
        self.target = target
        self.api = api
        self.send = api.send
        self.seen: set[int] = set()
        self._evidence: dict[object, Any] = {}
        self.guessed = False

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncIterator[Self]:
        """Start the service."""
        async with target.serve("app") as served, cls.client.open(served) as api:
            yield cls(target, api)

    async def evidence(self, experiment: Callable[[Self], Awaitable[T]]) -> T:
        """What an experiment showed: several checks judge it, and it is done once."""
        if experiment not in self._evidence:
            self._evidence[experiment] = await experiment(self)
        return cast(T, self._evidence[experiment])

    def item(self, id: int) -> str:
        """The path of one todo."""
        return f"{self.collection}/{id}"

    async def listed(self) -> dict[int, Todo]:
        """The todos that GET on the collection tells of, by id, in whatever shape; empty if it tells of none."""
        with contextlib.suppress(Failed):
            answer = await self.send("GET", self.collection)
            if answer.ok:
                found = {todo["id"]: todo for todo in todos_within(answer.json())}
                self.seen |= found.keys()
                return found
        return {}

    async def post(self, **fields: str) -> tuple[Exchange, Todo]:
        """Create a todo with a task of its own; return the answer and what was sent."""
        sent = {"task": new_task(), **fields}
        return await self.send("POST", self.collection, sent), sent

    async def id_of(self, answer: Exchange, sent: Todo) -> int | None:
        """The id that a creation gave: from its body, its Location, or the list; None if it cannot be found."""
        body = answer.json()
        if isinstance(body, dict) and _is_id(body.get("id")):
            self.seen.add(body["id"])
            return int(body["id"])
        tail = answer.headers.get("location", "").rstrip("/").rpartition("/")[2]
        if tail.isdecimal():
            self.seen.add(int(tail))
            return int(tail)
        return next((id for id, todo in (await self.listed()).items() if todo.get("task") == sent["task"]), None)

    async def make(self, **fields: str) -> int:
        """Create a todo, accepting any 2xx, and return its id.

        Raises:
            CannotJudge: there is no new todo.
        """
        answer, sent = await self.post(**fields)
        made = await self.id_of(answer, sent) if answer.ok else None
        if made is None:
            raise CannotJudge(f"this needs a new todo. {answer.said}.")
        return made

    async def any_todo(self) -> int:
        """The id of a todo: a new one, or the first that is listed, or at a guess 1."""
        with contextlib.suppress(CannotJudge, Failed):
            return await self.make()
        listed = await self.listed()
        self.guessed = not listed
        return min(listed, default=1)

    async def attempted(self, answer: Exchange) -> None:
        """Look at what a request on `any_todo` got.

        Raises:
            NotAttempted: there is no handler for such a request.
            CannotJudge: there was no todo.
        """
        if await self.api.missing(answer):
            raise no_handler(answer)
        if self.guessed and answer.status == HTTPStatus.NOT_FOUND:
            raise CannotJudge(f"this needs a todo, and neither POST nor GET on {self.collection} gives one.")

    async def delete(self, ids: Collection[int]) -> None:
        """Delete todos, the highest id first.

        Raises:
            CannotJudge: there are none to delete, or there is no DELETE that works.
        """
        if not ids:
            raise CannotJudge(f"this needs GET {self.collection} to show the todos that there are.")
        for id in sorted(ids, reverse=True):
            deletion = await self.send("DELETE", self.item(id))
            if not deletion.ok and deletion.status != HTTPStatus.NOT_FOUND:
                raise CannotJudge(f"this needs DELETE to work (exercise delete). {deletion.said}.")
        # One of them stands for all: a DELETE that does nothing would make every id look new.
        still = await self.send("GET", self.item(min(ids)))
        if min(ids) in {todo["id"] for todo in todos_within(still.json())}:
            raise CannotJudge(
                f"this needs DELETE to work (exercise delete), but afterwards {still.sent} got {still.got}."
            )

    async def get(self, id: int) -> Todo | None:
        """The todo as GET on its address gives it, or else the list; None if neither does."""
        with contextlib.suppress(Failed):
            answer = await self.send("GET", self.item(id))
            found = {todo["id"]: todo for todo in todos_within(answer.json())} if answer.ok else {}
            if id in found:
                return found[id]
        return (await self.listed()).get(id)

    async def unused_id(self) -> int:
        """An id that no todo has."""
        return max({*await self.listed(), *self.seen}, default=0) + 1000 + secrets.randbelow(9000)

    async def refuse_bad_bodies(self, method: str, path: str, effect: Callable[[], Awaitable[str]]) -> None:
        """Send every bad body; fail unless each gets a 4xx and `effect` has nothing to tell."""
        for fault, body in BAD_BODIES:
            answer = await self.send(method, path, raw=body)
            if not answer.refused:
                answer.fail(f"a 4xx status such as {named(422)}, because {fault}")
            if change := await effect():
                answer.fail(f"no effect, because the request was refused; yet {change}")


def todos_within(value: Any) -> list[Todo]:
    """Every object with a proper id, wherever it is in a piece of JSON."""
    if isinstance(value, dict):
        if _is_id(value.get("id")):
            return [value]
        value = list(value.values())
    return [todo for item in value for todo in todos_within(item)] if isinstance(value, list) else []


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def flaw(todo: Any, **expected: Any) -> str:
    """What is wrong with a todo, in words; empty if nothing is."""
    if not isinstance(todo, dict):
        return "it is no JSON object"
    if not _is_id(todo.get("id")):
        return "it has no id that is a whole number"
    for name in ("task", "status"):
        if not isinstance(todo.get(name), str):
            return f"it has no {name} that is a text"
    for name, value in expected.items():
        if todo[name] != value:
            return f"its {name} is {as_json(todo[name])}, not {as_json(value)}"
    return ""


def no_handler(answer: Exchange) -> NotAttempted:
    """What tells that nobody wrote this part yet."""
    return NotAttempted(f"{answer.sent.split(' {')[0]} answers {named(answer.status)}.")
