"""What a board says: snapshots and messages, as any implementation of the protocol of lab 08 writes them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from wirelab.checks.exchange import as_json
from wirelab.checks.todo_service import Todo, flaw

Todos: TypeAlias = dict[int, Todo]


@dataclass(frozen=True)
class Snapshot:
    """A board at one moment: the last change that is in it, and its todos."""

    epoch: str
    seq: int
    todos: Mapping[int, Todo]


@dataclass(frozen=True)
class Update:
    """A message: a position, or, if `id` is set, a change to what `todo` says, None for a todo that is gone."""

    epoch: str
    seq: int
    id: int | None = None
    todo: Todo | None = None

    @property
    def is_change(self) -> bool:
        """Whether it tells of a change, rather than of the position alone."""
        return self.id is not None


def read_update(raw: str | bytes) -> Update | str:
    """Read a message; what is wrong with it, in words, if it is none."""
    message: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        message = json.loads(raw)
    if fault := _place_flaw(message):
        return fault
    if "id" not in message and "todo" not in message:
        return Update(message["epoch"], message["seq"])
    for name in ("id", "todo"):
        if name not in message:
            return f"it has no {name}"
    id, todo = message["id"], message["todo"]
    if not _is_whole(id):
        return "its id is no whole number"
    if todo is not None and (fault := flaw(todo, id=id)):
        return f"of its todo, {fault}"
    return Update(message["epoch"], message["seq"], id, todo)


def read_snapshot(body: Any) -> Snapshot | str:
    """Read a snapshot from its JSON; what is wrong with it, in words, if it is none."""
    if fault := _place_flaw(body):
        return fault
    todos = body.get("todos")
    if not isinstance(todos, list):
        return "it has no todos that are an array, [...]"
    for todo in todos:
        if fault := flaw(todo):
            return f"of {as_json(todo)} in its todos, {fault}"
    return Snapshot(body["epoch"], body["seq"], {todo["id"]: todo for todo in todos})


def _place_flaw(value: Any) -> str:
    if not isinstance(value, dict):
        return "it is no JSON object, {…}"
    if not isinstance(value.get("epoch"), str) or not value["epoch"]:
        return "it has no epoch that is a text"
    if not _is_whole(value.get("seq")):
        return "it has no seq that is a whole number"
    return ""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def replay(todos: Mapping[int, Todo], changes: Iterable[Update]) -> Todos:
    """What becomes of todos by changes, in the order in which these are given."""
    after = dict(todos)
    for change in changes:
        assert change.id is not None
        if change.todo is None:
            after.pop(change.id, None)
        else:
            after[change.id] = change.todo
    return after


def difference(shown: Mapping[Any, Any], board: Mapping[Any, Todo]) -> str:
    """The first thing in which what somebody shows is not the board, in words; empty if it is."""
    for id, todo in board.items():
        if id not in shown:
            return f"todo {id} ({as_json(todo)}) is missing"
        if shown[id] != todo:
            return f"todo {id} is {as_json(shown[id])}, and on the board it is {as_json(todo)}"
    for id in shown:
        if id not in board:
            return f"todo {as_json(id)} is there, and on the board it is not (any more)"
    return ""
