"""Lab 01: a todo service over HTTP. Its deliverable is ``app``, an ASGI application."""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus

from wirelab.checks import CannotJudge, Check, Exercise, Failed, Lab, NotAttempted
from wirelab.checks.exchange import NOT_WRITTEN, Exchange, as_json, named, path_on, refuse_body, shown
from wirelab.checks.todo_service import STATUSES, Todo, Todos, flaw, new_task, no_handler, todos_within

# How many creations meet in one instant, and how many todos a fresh service holds.
AT_ONCE = 64
SAMPLES = 2


# read


async def samples(todos: Todos) -> list[tuple[Exchange, int, Todo]]:
    """GET each sample: the answer, its id, and what the list says of it. The list is empty if there is none."""
    known = await todos.listed() or {1: {}, 2: {}}
    return [(await todos.send("GET", f"/todos/{id}"), id, todo) for id, todo in known.items()]


async def read_untouched(todos: Todos) -> None:
    """Neither the collection nor an item has a handler."""
    collection = await todos.send("GET", "/todos")
    # Now, since `read_list` empties the collection.
    one, _, _ = (await todos.evidence(samples))[0]
    if await todos.api.missing(collection) and await todos.api.missing(one):
        raise no_handler(collection)


async def read_list(todos: Todos) -> str | None:
    """The collection, at first and when it is empty."""
    answer = await todos.send("GET", "/todos")
    if await todos.api.missing(answer):
        raise no_handler(answer)
    if answer.status != HTTPStatus.OK:
        answer.fail(f"{named(200)}, because there is a collection to show")
    items = answer.json()
    if not isinstance(items, list):
        answer.fail("a JSON array, [...], with one object for each todo")
    for item in items:
        if fault := flaw(item):
            answer.fail(f'objects like {{"id": 1, "task": "…", "status": "…"}}; of {as_json(item)}, {fault}')
    # More than the samples: a cell that tries POST, run before DELETE is written, leaves its todo.
    if len(items) < SAMPLES or len({item["id"] for item in items}) < len(items):
        answer.fail(
            "the two samples, each under an id of its own, because a freshly started service holds them (if you "
            "changed the todos of this notebook by hand, run the cell that fills them again)"
        )
    return await _read_empty(todos)


async def _read_empty(todos: Todos) -> str | None:
    try:
        await todos.delete(await todos.listed())
        answer = await todos.send("GET", "/todos")
        works = not todos_within(answer.json())
    except (CannotJudge, Failed):
        works = False
    if not works:
        return "(DELETE does not work yet, so the empty collection was not looked at.)"
    if answer.status != HTTPStatus.OK or answer.json() != []:
        answer.fail(f"{named(200)} with [], because all todos were deleted: an empty collection is still there")
    return None


async def read_one(todos: Todos) -> None:
    """Each sample at its own address."""
    await _needs_get_one(todos)
    for answer, id, todo in await todos.evidence(samples):
        if answer.status != HTTPStatus.OK:
            answer.fail(f"{named(200)}, because there is a todo with the id {id}")
        expected = {name: todo[name] for name in ("task", "status") if name in todo}
        if fault := flaw(answer.json(), id=id, **expected):
            answer.fail(f"the todo with the id {id} as the list shows it; {fault}")


async def _needs_get_one(todos: Todos) -> None:
    """Without a handler for one todo, a framework's own 404 would pass for the learner's."""
    answer, _, _ = (await todos.evidence(samples))[0]
    if await todos.api.missing(answer):
        raise no_handler(answer)


async def read_unknown(todos: Todos) -> None:
    """An id that no todo has."""
    await _needs_get_one(todos)
    answer = await todos.send("GET", f"/todos/{await todos.unused_id()}")
    if answer.status != HTTPStatus.NOT_FOUND:
        answer.fail(f"{named(404)}, because no todo has that id: programs look at the status before the body")
    body = answer.json()
    if not isinstance(body, dict) or "detail" not in body:
        answer.fail('a JSON object that says so, {"detail": "…"}')


async def read_word(todos: Todos) -> None:
    """A word where an id should be."""
    await _needs_get_one(todos)
    word = secrets.choice(("banana", "first", "todo", "latest", "seven"))
    answer = await todos.send("GET", f"/todos/{word}")
    if not answer.refused:
        answer.fail(f"a 4xx status such as {named(422)} or {named(404)}, because {word!r} is no todo's id")


READ = Exercise(
    name="read",
    title="Show the todos",
    hints=(
        "`todos` is a dictionary: its keys are the ids, its values the todos. The list needs its values; one "
        "todo needs the value of one key, if there is such a key.",
        "`todos.values()` has every todo, and `list(...)` makes a list of it, which FastAPI sends as a JSON "
        "array. For one todo, ask first: `if todo_id not in todos:`.",
        "The list: `return list(todos.values())`. One todo: under `if todo_id not in todos:` put "
        '`raise HTTPException(404, "No todo has this id.")`, and below it `return todos[todo_id]`.',
    ),
    checks=(
        Check(
            "read.list",
            0.5,
            "GET /todos answers 200 OK with a JSON array of all todos: two samples at first, [] if all are gone.",
            "A program can loop over an array without asking first whether there is anything in it.",
            read_list,
        ),
        Check(
            "read.one",
            0.5,
            "GET /todos/{id} answers 200 OK with that todo.",
            "Each resource has an address of its own, which can be kept, passed on and cached.",
            read_one,
        ),
        Check(
            "read.unknown",
            0.5,
            "GET /todos/{id} answers 404 Not Found with a JSON object that has a detail, if no todo has that id.",
            "Programs, caches and monitoring look at the status alone: an error inside a 200 goes unseen.",
            read_unknown,
        ),
        Check(
            "read.word",
            0.5,
            "GET /todos/banana answers with a 4xx status.",
            "A 5xx says that the server is at fault; a slip of the client's fingers must not wake its keeper.",
            read_word,
        ),
    ),
    needs=("app",),
    opens=Todos.open,
    untouched=read_untouched,
)


# create


async def create_untouched(todos: Todos) -> None:
    """POST /todos has no handler."""
    answer, _ = await todos.post()
    if await todos.api.missing(answer):
        raise no_handler(answer)


async def create_created(todos: Todos) -> None:
    """A task alone."""
    answer, sent = await todos.post()
    if answer.status != HTTPStatus.CREATED:
        answer.fail(f"{named(201)}, because something new exists now")
    if fault := flaw(answer.json(), task=sent["task"], status="Pending"):
        answer.fail(f'the new todo: its id, the task that was sent, and the status "Pending"; {fault}')


async def create_status(todos: Todos) -> None:
    """A task and a status."""
    answer, sent = await todos.post(status=secrets.choice(STATUSES))
    if not answer.ok:
        answer.fail(f"{named(201)}, because a todo may come with a status")
    if fault := flaw(answer.json(), task=sent["task"], status=sent["status"]):
        answer.fail(f"the new todo with the status that was sent, {as_json(sent['status'])}; {fault}")


async def create_location(todos: Todos) -> None:
    """The address of what was made."""
    answer, sent = await todos.post()
    if not answer.ok:
        answer.fail(f"{named(201)} with a Location header")
    location = answer.headers.get("location")
    if location is None:
        raise Failed(
            f"{answer.said}, and no Location header; expected one such as /todos/3, because only the server knows "
            "where the new todo lives."
        )
    path = path_on(location, todos.api.address, "/todos")
    if path is None:
        raise Failed(f"{answer.said} and Location: {shown(location)}; expected a Location on this server.")
    there = await todos.send("GET", path)
    if there.status in NOT_WRITTEN:
        raise CannotJudge(f"this needs GET to work (exercise read). {there.said}.")
    fault = flaw(there.json(), task=sent["task"], status="Pending") if there.ok else ""
    if fault or not there.ok:
        raise Failed(
            f"{answer.said} and Location: {shown(location)}, where GET gets {there.got}; expected the new todo"
            + (f" there, but {fault}." if fault else " there.")
        )


async def create_invalid(todos: Todos) -> None:
    """Bodies that are no todo."""
    before = await todos.listed()

    async def grown() -> str:
        added = (await todos.listed()).keys() - before.keys()
        return f"a todo with the id {min(added)} was created" if added else ""

    await todos.refuse_bad_bodies("POST", "/todos", grown)


CREATE = Exercise(
    name="create",
    title="Add a todo",
    hints=(
        "What came in is `new`, already checked: `new.task` and `new.status`. Choose an id, put the todo into "
        "`todos`, say where it lives, and return it.",
        "A todo is a dictionary with `id`, `task` and `status`, and `new_id()` gives the id. The 201 is there "
        'already, in `status_code=201`. The address goes into `response.headers["Location"]`.',
        '`todo = {"id": new_id(), "task": new.task, "status": new.status}`, then `todos[todo["id"]] = todo`, then '
        '`response.headers["Location"] = f"/todos/{todo[\'id\']}"`, then `return todo`.',
    ),
    checks=(
        Check(
            "create.created",
            0.5,
            'POST /todos with a task answers 201 Created with the new todo: its id, the task, and "Pending".',
            "201 tells a client that there is something new, and the body spares it a second request.",
            create_created,
        ),
        Check(
            "create.status",
            0.5,
            "POST /todos with a task and a status answers with a todo that has both.",
            "A default is for what was left out, never for what was said.",
            create_status,
        ),
        Check(
            "create.location",
            0.5,
            "POST /todos answers with a Location header, and GET on that gives the new todo.",
            "The server chose the address, so it has to tell (RFC 9110, section 15.3.2).",
            create_location,
        ),
        Check(
            "create.invalid",
            0.5,
            "POST /todos without a task, with a task or status that is no text, or with broken JSON answers with "
            "a 4xx status, and creates nothing.",
            "What is stored unchecked comes back later as somebody else's crash.",
            create_invalid,
        ),
    ),
    needs=("app",),
    opens=Todos.open,
    untouched=create_untouched,
)


# replace


async def replacement(todos: Todos) -> tuple[Todo, Exchange]:
    """Replace the todo that the exercise works on, with a task and a status: what was sent, and the answer."""
    sent = {"task": new_task(), "status": secrets.choice(STATUSES)}
    return sent, await todos.send("PUT", f"/todos/{await todos.evidence(Todos.any_todo)}", sent)


async def replace_untouched(todos: Todos) -> None:
    """PUT on a todo that exists has no handler."""
    _, answer = await todos.evidence(replacement)
    await todos.attempted(answer)


async def replace_whole(todos: Todos) -> None:
    """A task and a status, twice."""
    (sent, answer), id = await todos.evidence(replacement), await todos.evidence(Todos.any_todo)
    count = len(await todos.listed())
    for again in ("", " (this was the second time, as from a client that missed the first answer)"):
        if again:
            answer = await todos.send("PUT", f"/todos/{id}", sent)
        if answer.status != HTTPStatus.OK:
            answer.fail(f"{named(200)} with the todo as it is now{again}")
        if fault := flaw(answer.json(), id=id, **sent):
            answer.fail(f"the todo as it was sent, with the id {id}{again}; {fault}")
    if fault := flaw(await todos.get(id) or answer.json(), id=id, **sent):
        answer.fail(f"GET /todos/{id} to show from then on what was sent; {fault}")
    now = len(await todos.listed())
    if now != count:
        answer.fail(f"as many todos as after the first time, {count}; there are {now}")


async def replace_default(todos: Todos) -> None:
    """A task alone: the status starts over."""
    id, task = await todos.evidence(Todos.any_todo), new_task()
    before = await todos.send("PUT", f"/todos/{id}", {"task": new_task(), "status": "Done"})
    if not before.ok:
        before.fail(f"{named(200)}, because the todo with the id {id} exists")
    answer = await todos.send("PUT", f"/todos/{id}", {"task": task})
    if not answer.ok:
        answer.fail(f"{named(200)}, because a status may be left out")
    if fault := flaw(await todos.get(id) or answer.json(), id=id, task=task, status="Pending"):
        answer.fail(
            'the status to be "Pending" again, because PUT replaces the whole todo and what is left out starts '
            f'over (it was "Done" before); of the todo now, {fault}'
        )


async def replace_invalid(todos: Todos) -> None:
    """Bodies that are no todo leave the old one as it is."""
    id = await todos.evidence(Todos.any_todo)
    before = await todos.get(id)

    async def changed() -> str:
        now = await todos.get(id)
        return f"the todo went from {as_json(before)} to {as_json(now)}" if now != before else ""

    await todos.refuse_bad_bodies("PUT", f"/todos/{id}", changed)


async def replace_unknown(todos: Todos) -> None:
    """An id that no todo has: PUT is no way to create here."""
    before, id = await todos.listed(), await todos.unused_id()
    answer = await todos.send("PUT", f"/todos/{id}", {"task": new_task()})
    if answer.status != HTTPStatus.NOT_FOUND:
        answer.fail(f"{named(404)}, because no todo has the id {id}, and ids are the server's to give")
    if added := (await todos.listed()).keys() - before.keys():
        answer.fail(f"nothing to be created; but now there is a todo with the id {min(added)}")


REPLACE = Exercise(
    name="replace",
    title="Replace a todo",
    hints=(
        "It is the first half of reading one todo and the second half of creating one: look the id up, then store "
        "what was sent under that same id.",
        'Build the whole todo from `todo_id` and `new`; do not touch the old one. `new.status` is "Pending" by '
        "itself when the client left it out.",
        "After the same two lines for an unknown id as in exercise 1: "
        '`todos[todo_id] = {"id": todo_id, "task": new.task, "status": new.status}`, then '
        "`return todos[todo_id]`.",
    ),
    checks=(
        Check(
            "replace.whole",
            0.5,
            "PUT /todos/{id} answers 200 OK with the todo as it was sent, under the same id; twice is the same as "
            "once.",
            "A client that got no answer may simply send a PUT again: that is what idempotent means.",
            replace_whole,
        ),
        Check(
            "replace.default",
            0.5,
            'PUT /todos/{id} without a status sets it back to "Pending".',
            "PUT replaces, it does not merge: what a client sends is all that there is afterwards.",
            replace_default,
        ),
        Check(
            "replace.invalid",
            0.5,
            "PUT /todos/{id} with a body that is no todo answers with a 4xx status, and changes nothing.",
            "A refused request leaves no trace, or nobody can tell what state the service is in.",
            replace_invalid,
        ),
        Check(
            "replace.unknown",
            0.5,
            "PUT /todos/{id} answers 404 Not Found if no todo has that id, and creates nothing.",
            "Here the server gives the ids; a client that could choose one might take another's.",
            replace_unknown,
        ),
    ),
    needs=("app",),
    opens=Todos.open,
    untouched=replace_untouched,
)


# delete


async def deletion(todos: Todos) -> Exchange:
    """Delete the todo that the exercise works on."""
    return await todos.send("DELETE", f"/todos/{await todos.evidence(Todos.any_todo)}")


async def delete_untouched(todos: Todos) -> None:
    """DELETE on a todo that exists has no handler."""
    await todos.attempted(await todos.evidence(deletion))


async def delete_gone(todos: Todos) -> None:
    """What was deleted is no longer there."""
    id, deleted = await todos.evidence(Todos.any_todo), await todos.evidence(deletion)
    if not deleted.ok:
        deleted.fail(f"{named(204)}, because the todo with the id {id} exists")
    answer = await todos.send("GET", f"/todos/{id}")
    unknown = await todos.send("GET", f"/todos/{await todos.unused_id()}")
    listed = await todos.listed()
    # What GET answers for an id that never was belongs to another exercise: here both need only be alike.
    if answer.status not in (HTTPStatus.NOT_FOUND, unknown.status) or id in listed:
        raise Failed(
            f"{deleted.said}, but then GET /todos/{id} got {answer.got} and the list held {_told(listed)}; "
            f"expected {named(404)} from then on, and the todo gone from the list."
        )


async def delete_no_content(todos: Todos) -> None:
    """204 as bytes: nothing may follow its header, or the next answer on the connection is garbled."""
    id = await todos.any_todo()
    if todos.guessed:
        raise CannotJudge("this needs a second todo, and neither POST /todos nor GET /todos gives one.")
    answer, rest = await todos.api.last_on_connection("DELETE", f"/todos/{id}")
    if answer.status != HTTPStatus.NO_CONTENT:
        answer.fail(f"{named(204)}, because there is nothing left to show")
    refuse_body(answer, rest)


async def delete_unknown(todos: Todos) -> None:
    """A second time, and an id that never was."""
    again = await todos.send("DELETE", f"/todos/{await todos.evidence(Todos.any_todo)}")
    if again.status != HTTPStatus.NOT_FOUND:
        again.fail(f"{named(404)}, because this todo was deleted before")
    answer = await todos.send("DELETE", f"/todos/{await todos.unused_id()}")
    if answer.status != HTTPStatus.NOT_FOUND:
        answer.fail(f"{named(404)}, because no todo has that id")


async def delete_others(todos: Todos) -> None:
    """Only that one goes."""
    made = []
    with contextlib.suppress(CannotJudge, Failed):
        made = [await todos.make() for _ in range(3)]
    before = await todos.listed()
    if len(before) < 2:
        raise CannotJudge("this needs two todos at least, and a list that shows them (exercises read and create).")
    gone = made[1] if made else min(before)
    deleted = await todos.send("DELETE", f"/todos/{gone}")
    if not deleted.ok:
        deleted.fail(f"{named(204)}, because the todo with the id {gone} exists")
    # Whether that one is gone is for `delete_gone` to tell.
    before.pop(gone, None)
    after = {id: todo for id, todo in (await todos.listed()).items() if id != gone}
    if after != before:
        raise Failed(
            f"{deleted.said}, and then of the others the list held {_told(after)}; expected them as they were: "
            f"{_told(before)}."
        )


def _told(todos: dict[int, Todo]) -> str:
    return shown(", ".join(f"{id} {as_json(todo.get('task'))}" for id, todo in sorted(todos.items())) or "nothing")


DELETE = Exercise(
    name="delete",
    title="Delete a todo",
    hints=(
        "Three lines: two for an unknown id, which you have written twice by now, and one that deletes.",
        "`del todos[todo_id]` takes a todo out of the dictionary. The 204 is there already, in `status_code=204`; "
        "return nothing, since a 204 has no body.",
        'Under `if todo_id not in todos:` put `raise HTTPException(404, "No todo has this id.")`, and below it '
        "`del todos[todo_id]`.",
    ),
    checks=(
        Check(
            "delete.gone",
            0.5,
            "After DELETE /todos/{id}, GET on the same address answers 404 Not Found.",
            "Deleted means that nobody can get at it any more, in any way.",
            delete_gone,
        ),
        Check(
            "delete.no_content",
            0.5,
            "DELETE /todos/{id} answers 204 No Content, and no byte follows its header.",
            "A client reads no body after a 204: stray bytes would be taken for the next answer.",
            delete_no_content,
        ),
        Check(
            "delete.unknown",
            0.5,
            "DELETE /todos/{id} answers 404 Not Found if no todo has that id, or no longer.",
            "Asking for what is not there is the client's mistake, and no reason for the server to crash.",
            delete_unknown,
        ),
        Check(
            "delete.others",
            0.5,
            "DELETE /todos/{id} leaves every other todo as it was, under its own id.",
            "An address that begins to mean something else is worse than one that is gone.",
            delete_others,
        ),
    ),
    needs=("app",),
    opens=Todos.open,
    untouched=delete_untouched,
)


# ids


@dataclass(frozen=True)
class Creation:
    """A creation that follows deletions.

    Attributes:
        deleted: what was deleted before, in words.
        id: the id that was given, None if it cannot be found.
        earlier: every id that was seen before.
    """

    deleted: str
    answer: Exchange
    id: int | None
    earlier: frozenset[int]

    def judge(self) -> None:
        """Fail unless it worked and its id is new."""
        did = f"Deleted {self.deleted}, then sent {self.answer.sent}"
        if not self.answer.ok:
            raise Failed(
                f"{did}; got {self.answer.got}; expected {named(201)}, because a collection may be empty."
            )
        if self.id is None:
            raise CannotJudge(f"no id can be found. {self.answer.said}.")
        if self.id in self.earlier:
            raise Failed(
                f"{did}; got the id {self.id}, which was given before; expected one that no todo ever had, "
                "because whoever kept the old address would now meet somebody else's todo."
            )


@dataclass(frozen=True)
class Burst:
    """Many creations in the same instant.

    Attributes:
        answers: the answer to each task.
        listed: the tasks that the list shows afterwards.
    """

    answers: dict[str, Exchange]
    listed: frozenset[str]


async def without_highest(todos: Todos) -> Creation:
    """Delete the todo with the highest id, then create."""
    await todos.listed()
    answer, sent = await todos.post()
    if await todos.api.missing(answer):
        raise no_handler(answer)
    made = await todos.id_of(answer, sent) if answer.ok else None
    if made is None:
        raise CannotJudge(f"this needs POST /todos to work (exercise create). {answer.said}.")
    highest = max({made, *await todos.listed()})
    return await _create_without(todos, [highest], f"the todo with the highest id, {highest}")


async def without_any(todos: Todos) -> Creation:
    """Delete all todos, then create."""
    return await _create_without(todos, await todos.listed(), "every todo")


async def at_once(todos: Todos) -> Burst:
    """Create many at once. A service that cannot create in an empty collection is started anew for it."""
    if not (await todos.evidence(without_any)).answer.ok:
        async with Todos.open(todos.target) as fresh:
            return await _burst(fresh)
    return await _burst(todos)


async def _burst(todos: Todos) -> Burst:
    tasks = [new_task() for _ in range(AT_ONCE)]
    answers = await todos.api.at_once("POST", "/todos", [{"task": task} for task in tasks])
    listed = frozenset(str(todo.get("task")) for todo in (await todos.listed()).values())
    return Burst(dict(zip(tasks, answers, strict=True)), listed)


async def _create_without(todos: Todos, ids: Collection[int], whose: str) -> Creation:
    await todos.delete(ids)
    earlier = frozenset(todos.seen)
    answer, sent = await todos.post()
    return Creation(whose, answer, await todos.id_of(answer, sent) if answer.ok else None, earlier)


async def ids_untouched(todos: Todos) -> None:
    """In an empty collection the lab's stub cannot create, and says so with a 501."""
    await todos.evidence(without_highest)
    creation = await todos.evidence(without_any)
    if creation.answer.status == HTTPStatus.NOT_IMPLEMENTED:
        raise NotAttempted("in an empty collection POST /todos still answers 501 Not Implemented.")


async def ids_highest(todos: Todos) -> None:
    """An id is not given again after the highest was deleted."""
    (await todos.evidence(without_highest)).judge()


async def ids_all(todos: Todos) -> None:
    """Nor after all were deleted; and an empty collection takes new todos."""
    (await todos.evidence(without_any)).judge()


async def ids_at_once(todos: Todos) -> None:
    """Many creations in the same instant."""
    burst = await todos.evidence(at_once)
    for answer in burst.answers.values():
        if not answer.ok:
            answer.fail(f"{named(201)}, because many clients may create at the same time")
    bodies = [answer.json() for answer in burst.answers.values()]
    given = Counter(body["id"] for body in bodies if not flaw(body))
    sent = f"Sent POST /todos {AT_ONCE} times at once"
    if len(given) < given.total():
        id, times = given.most_common(1)[0]
        raise Failed(
            f"{sent}; got the id {id} {times} times, and only {len(given)} different ids; expected {AT_ONCE}, "
            "because another request may come between choosing an id and storing the todo."
        )
    lost = burst.answers.keys() - burst.listed
    if burst.listed and lost:
        raise Failed(
            f"{sent}; got a 2xx {AT_ONCE} times, but {len(lost)} of the todos are not in the list; expected all "
            "of them, because each client was told that its todo exists."
        )


IDS = Exercise(
    name="ids",
    title="Hunt the bug in the ids",
    hints=(
        "What does `max(todos) + 1` know of a todo that was deleted? Nothing. So something outside of `todos` has "
        "to remember which ids were given.",
        "Remember the last id, and only ever count up. `itertools.count(3)` is such a counter: each `next(...)` "
        "of it gives the next number, and two requests never get the same.",
        "In the function: `return next(ids)`. Below it: `ids = itertools.count(max(todos, default=0) + 1)`.",
    ),
    checks=(
        Check(
            "ids.highest",
            0.5,
            "After the todo with the highest id is deleted, POST /todos gives an id that was never given.",
            "Whoever kept the old address would otherwise read, change or delete somebody else's todo.",
            ids_highest,
        ),
        Check(
            "ids.all",
            0.5,
            "After all todos are deleted, POST /todos creates one, with an id that was never given.",
            "The empty case is the one that nobody tries by hand, and the first that a tidy user meets.",
            ids_all,
        ),
        Check(
            "ids.at_once",
            1.0,
            f"POST /todos {AT_ONCE} times at once makes {AT_ONCE} todos with {AT_ONCE} ids, and loses none.",
            "A server answers many clients at a time, so two requests may stand at the same line of your code.",
            ids_at_once,
        ),
    ),
    needs=("app",),
    opens=Todos.open,
    untouched=ids_untouched,
)


LAB = Lab(
    name="01_todo_api",
    title="A todo service over HTTP",
    deliverables={"app": "asgi"},
    exercises={exercise.name: exercise for exercise in (READ, CREATE, REPLACE, DELETE, IDS)},
)
