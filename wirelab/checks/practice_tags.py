"""Lab 05, exercises ``conditional`` and ``update``: what entity tags are good for (RFC 9110, 13; RFC 6585, 3)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from wirelab.checks import CannotJudge, Check, Exercise, Failed, NotAttempted, NotStarted
from wirelab.checks.exchange import Exchange, as_json, named, refuse_body, shown
from wirelab.checks.practice_service import (
    JSON,
    MAX_LIMIT,
    MERGE_PATCH,
    XML,
    Practice,
    as_caller,
    needs_status,
    new_key,
    other_status,
)
from wirelab.checks.todo_service import Todo, new_task

TAG = re.compile(r'(W/)?"[^"\x00-\x20\x7f]*"')
WRITERS = 8


# conditional


async def conditional_untouched(practice: Practice) -> None:
    """Nothing has a tag."""
    item = await practice.send("GET", practice.item(await practice.evidence(Practice.any_todo)))
    collection = await practice.send("GET", practice.collection)
    if "etag" not in item.headers and "etag" not in collection.headers:
        raise NotAttempted(f"{item.sent} answers without an ETag.")


async def tag_seen(practice: Practice, path: str) -> str:
    """The ETag of what is at a path, as its own exercise looks at it."""
    answer = await practice.send("GET", path)
    if answer.status != HTTPStatus.OK:
        raise CannotJudge(f"this needs GET to work. {answer.said}.")
    tag = answer.headers.get("etag")
    if tag is None:
        raise Failed(f"{answer.said}, and no ETag header; expected one.")
    if not TAG.fullmatch(tag):
        raise Failed(
            f"{answer.said} and ETag: {shown(tag)}; expected quotation marks around the tag: they belong to it."
        )
    return tag


async def conditional_tag(practice: Practice) -> str | None:
    """The tag of one todo, through changes of it, of others, and of nothing."""
    id = await practice.make()
    path = practice.item(id)
    tag = await tag_seen(practice, path)
    for change in ({"status": other_status("Pending")}, {"task": new_task()}, {"task": new_task()}):
        answer = await practice.change(id, **change)
        now = await tag_seen(practice, path)
        if now == tag:
            raise Failed(
                f"{answer.said}, and then GET {path} with ETag: {shown(now)}; expected another tag than before, "
                "since the todo is another."
            )
        tag = now
    other = await practice.make()
    _same(tag, await tag_seen(practice, path), f"Sent GET {path} before and after the todo {other} was created")
    _, todo = await practice.shown_todo(id)
    nothing = await practice.change(id, task=todo["task"], status=todo["status"])
    method, _, _ = nothing.sent.partition(" ")
    _same(
        tag,
        await tag_seen(practice, path),
        f"Sent GET {path} before and after {method} with the task and status that it had",
    )
    return None if method == "PATCH" else "(There is no PATCH that works yet: PUT changed the todo here.)"


def _same(before: str, after: str, sent: str) -> None:
    if after != before:
        raise Failed(
            f"{sent}; got ETag: {shown(before)} and then {shown(after)}; expected the same tag, because the todo "
            "is "
            "the same: a tag says what there is, not when or how often it was written."
        )


async def tags_of_all(practice: Practice, made: str) -> dict[str, tuple[Todo, str]]:
    """Make a todo with this task; each todo there is with its tag, by path."""
    answer, sent = await practice.send("POST", practice.collection, {"task": made}), {"task": made}
    await practice.id_of(answer, sent)
    found = {}
    for id in sorted(await practice.listed())[:5]:
        got, todo = await practice.shown_todo(id)
        found[practice.item(id)] = (todo, got.headers.get("etag", ""))
    return found


async def conditional_restart(practice: Practice) -> str | None:
    """The same data in a service that was started again."""
    task, note = new_task(), None
    async with Practice.open(practice.target) as first:
        before = await tags_of_all(first, task)
    try:
        async with (
            practice.target.serve("app", own_interpreter=True) as served,
            Practice.client.open(served) as api,
        ):
            after = await tags_of_all(Practice(practice.target, api), task)
    except NotStarted:
        # Then a second copy of the same interpreter has to do.
        async with Practice.open(practice.target) as second:
            after = await tags_of_all(second, task)
        note = "(Started again in this interpreter, where hash() stays the same; `wirelab grade` looks further.)"
    compared = [
        (path, tag, after[path][1]) for path, (todo, tag) in before.items() if after.get(path, ({}, ""))[0] == todo
    ]
    for path, tag, again in compared:
        if not tag:
            raise Failed(f"Sent GET {path}; got no ETag; expected one.")
        if tag != again:
            raise Failed(
                f"Sent GET {path} before and after the service was started again; got ETag: {shown(tag)} and then "
                f"{shown(again)}, for the same todo; expected the same tag: whoever has a copy would fetch it "
                "again."
            )
    if not compared:
        return "(No todo was the same after a restart, so their tags were not compared.)"
    return note


def behind_another(tag: str) -> str:
    """A list of two tags, of which nobody issued the first (RFC 9110, 13.1.1 and 13.1.2)."""
    return f'"{new_key()}", {tag}'


async def not_modified(practice: Practice, path: str) -> str:
    """Ask with the current tag; the tag."""
    tag = await tag_seen(practice, path)
    headers = {"If-None-Match": tag}
    answer, rest = await practice.api.last_on_connection("GET", path, as_caller(headers))
    answer = Exchange(f"GET {path} [If-None-Match: {tag}]", answer.status, answer.headers, b"", answer.raised)
    needs_status(answer, HTTPStatus.NOT_MODIFIED, "the client has this very version, and says so")
    refuse_body(answer, rest)
    return tag


async def modified(practice: Practice, path: str, tag: str, change: str) -> None:
    """Ask with a tag from before a change."""
    answer = await practice.send("GET", path, headers={"If-None-Match": tag})
    needs_status(answer, HTTPStatus.OK, f"{change} since that tag")


async def conditional_not_modified(practice: Practice) -> None:
    """A todo that the client has already, and one that has changed."""
    id = await practice.make()
    path = practice.item(id)
    tag = await not_modified(practice, path)
    answer = await practice.send("GET", path, headers={"If-None-Match": behind_another(tag)})
    needs_status(answer, HTTPStatus.NOT_MODIFIED, "the current tag is the second of these")
    await modified(practice, path, f'"{new_key()}"', "nobody issued this tag: the todo has changed")
    await practice.change(id, task=new_task(), status=other_status("Pending"))
    await modified(practice, path, tag, "the todo has changed")


async def conditional_collection(practice: Practice) -> None:
    """The collection's tag, through a creation, a change and a deletion."""
    path = f"{practice.collection}?limit={MAX_LIMIT}"
    id = await practice.make()
    tag = await not_modified(practice, path)
    _same(tag, await tag_seen(practice, path), f"Sent GET {path} twice")
    for change in ("created", "changed", "deleted"):
        if change == "created":
            await practice.make()
        elif change == "changed":
            await practice.change(id, task=new_task(), status=other_status("Pending"))
        else:
            await practice.drop(id)
        now = await tag_seen(practice, path)
        if now == tag:
            raise Failed(
                f"Sent GET {path} before and after a todo was {change}; got ETag: {shown(tag)} both times; "
                "expected "
                "another tag: the collection has changed with it."
            )
        await modified(practice, path, tag, f"a todo was {change}")
        tag = now


CONDITIONAL = Exercise(
    name="conditional",
    title="Tags, and nothing sent twice",
    hints=(
        "A tag is a fingerprint of what is answered: the same bytes have the same one, today and after a restart.",
        "`hashlib.sha256(body).hexdigest()` is such a fingerprint; `hash(body)` is another in every process. The "
        "quotation marks are part of a tag. `If-None-Match` may list several, with commas.",
        "The tag: `return f'\"{hashlib.sha256(body).hexdigest()[:16]}\"'`. Known: `return tag in [known.strip() "
        'for known in if_none_match.split(",")]`.',
    ),
    checks=(
        Check(
            "conditional.tag",
            0.5,
            "GET /v1/todos/{id} has an ETag that changes when the todo does, and only then.",
            "A tag that changes by itself saves nothing; one that stays lets clients keep what is out of date.",
            conditional_tag,
        ),
        Check(
            "conditional.restart",
            0.25,
            "After a restart with the same data each todo has the tag that it had before.",
            "Otherwise every deployment makes all clients fetch everything at the same time.",
            conditional_restart,
        ),
        Check(
            "conditional.not_modified",
            0.5,
            "GET with the current tag in If-None-Match, alone or in a list, gets 304 Not Modified without a body, "
            "and 200 OK once the todo has changed.",
            "The client has the answer already: a hundred bytes say so, however long it is.",
            conditional_not_modified,
        ),
        Check(
            "conditional.collection",
            0.25,
            "GET /v1/todos has an ETag too, which changes when any todo is created, changed or deleted.",
            "Whoever keeps a list up to date asks for it most often.",
            conditional_collection,
        ),
    ),
    needs=("app",),
    opens=Practice.open,
    untouched=conditional_untouched,
    deadline=45.0,
)


# update


async def update_untouched(practice: Practice) -> None:
    """PATCH has no handler."""
    id = await practice.evidence(Practice.any_todo)
    item = await practice.send("GET", practice.item(id))
    await practice.attempted(await practice.patch(id, {"status": "Done"}, item.headers.get("etag", '"none"')))


async def patched(practice: Practice, id: int, patch: dict[str, Any], because: str) -> tuple[Exchange, Todo]:
    """Apply a patch that must be taken; the answer, and the todo as it is then."""
    answer = await practice.patch(id, patch, await practice.tag(practice.item(id)))
    if not answer.ok:
        answer.fail(f"{named(200)}, because {because}")
    _, todo = await practice.shown_todo(id)
    return answer, todo


def _another() -> Todo:
    return {"task": new_task(), "status": other_status("Pending")}


def _compare(answer: Exchange, todo: Todo, because: str, **expected: Any) -> None:
    for name, value in expected.items():
        if todo.get(name) != value:
            there = f"is {as_json(todo[name])}" if name in todo else "is gone"
            answer.fail(f"its {name} to be {as_json(value)} afterwards, because {because}; it {there}")


async def update_merge(practice: Practice) -> None:
    """Members that come, stay, change and go, also inside of others."""
    task, status = new_task(), other_status("Pending")
    answer, _ = await practice.post(task=task, status=status)
    id = await practice.id_of(answer, {"task": task}) if answer.ok else None
    if id is None:
        raise CannotJudge(f"this needs a new todo. {answer.said}.")
    room, floor = secrets.randbelow(90) + 10, secrets.randbelow(9) + 1
    place = {"room": room, "floor": floor}
    because = "a merge patch names what changes, and the rest stays"
    answer, todo = await patched(practice, id, {"place": place, "urgent": True}, because)
    _compare(answer, todo, because, task=task, status=status)
    _compare(answer, todo, "a todo may have members of its own", place=place, urgent=True)
    answer, todo = await patched(
        practice, id, {"urgent": None, "place": {"room": None}}, "null takes a member away"
    )
    if "urgent" in todo:
        answer.fail(f'no "urgent" any more, because null takes a member away; it is {as_json(todo["urgent"])}')
    _compare(answer, todo, "objects inside of the todo are merged as well", place={"floor": floor}, task=task)
    answer, todo = await patched(practice, id, {"status": None}, "null is for members that may be taken away")
    _compare(answer, todo, "null for the status starts it over", status="Pending", task=task)


async def update_task(practice: Practice) -> None:
    """A todo without a task is none."""
    id = await practice.make()
    _, before = await practice.shown_todo(id)
    for task in (None, secrets.randbelow(1000)):
        answer = await practice.patch(id, {"task": task, "status": "Done"}, await practice.tag(practice.item(id)))
        if task is None:
            needs_status(answer, HTTPStatus.UNPROCESSABLE_ENTITY, "a todo without a task is no todo")
        elif not answer.refused:
            answer.fail(f"a 4xx status such as {named(422)}, because the task is a number, no text")
        _, now = await practice.shown_todo(id)
        if now != before:
            answer.fail(
                f"no effect, because it was refused; yet the todo went from {as_json(before)} to {as_json(now)}"
            )


async def update_match(practice: Practice) -> None:
    """A stale tag, none, the current one; and DELETE with a stale one."""
    id = await practice.make()
    path = practice.item(id)
    stale = await practice.tag(path)
    answer, before = await patched(practice, id, _another(), "the tag is the current one")
    refused = [
        (await practice.patch(id, {"status": "Lost"}, stale), 412, "the todo has changed since that tag"),
        (
            await practice.patch(id, {"status": "Lost"}, ""),
            428,
            "without If-Match nobody knows which version was meant",
        ),
        (
            await practice.send("DELETE", path, headers={"If-Match": stale}),
            412,
            "the todo has changed since that tag",
        ),
    ]
    for answer, status, because in refused:
        needs_status(answer, status, because)
    answer, now = await practice.shown_todo(id)
    if now != before:
        answer.fail(f"the todo as it was, {as_json(before)}, because all three were refused")
    answer = await practice.patch(id, _another(), behind_another(await practice.tag(path)))
    if not answer.ok:
        answer.fail(f"{named(200)}, because the current tag is the second of these")
    current = {"If-Match": await practice.tag(path)}
    answer = await practice.send("DELETE", path, headers=current)
    if not answer.ok:
        answer.fail(f"{named(204)}, because the tag is the current one")


async def update_either(practice: Practice) -> str | None:
    """The tag of the XML, and the tag of the JSON."""
    id = await practice.make()
    path, note = practice.item(id), None
    for media_type in (XML, JSON):
        got = await practice.send("GET", path, headers={"Accept": media_type})
        if media_type == XML and (not got.ok or "xml" not in got.headers.get("content-type", "")):
            note = "(There is no XML yet, so its tags were not tried.)"
            continue
        if "etag" not in got.headers:
            raise CannotJudge(f"this needs GET with an ETag (exercise conditional). {got.said}, and no ETag.")
        answer = await practice.patch(id, _another(), got.headers["etag"])
        if not answer.ok:
            answer.fail(
                f"{named(200)}, because GET with Accept: {media_type} gave that tag, and nothing has changed since"
            )
    return note


@dataclass
class Count:
    """Writers who each add one to the number in a todo's text.

    Attributes:
        id: the todo.
        start: the number at first.
        rounds: how many were let in each time that all who were left tried at once.
    """

    id: int
    start: int
    rounds: list[int]


async def counted(practice: Practice) -> Count:
    """Let the writers try at once, from the same version; who is refused reads again."""
    start = secrets.randbelow(1000)
    answer, sent = await practice.post(task=f"Count {start}")
    id = await practice.id_of(answer, sent) if answer.ok else None
    if id is None:
        raise CannotJudge(f"this needs a new todo. {answer.said}.")
    count, left = Count(id, start, []), WRITERS
    media_type = MERGE_PATCH
    while left:
        got, todo = await practice.shown_todo(id)
        tag, number = got.headers.get("etag"), str(todo.get("task")).rpartition(" ")[2]
        if tag is None or not number.isdecimal():
            raise CannotJudge(f"this needs GET with an ETag and the task that was sent. {got.said}.")
        bodies = [{"task": f"Count {int(number) + 1}"}] * left
        headers = as_caller({"If-Match": tag})
        answers = await practice.api.at_once("PATCH", practice.item(id), bodies, media_type, headers=headers)
        if media_type == MERGE_PATCH and all(answer.status == 415 for answer in answers):
            media_type = JSON
            continue
        done = sum(answer.ok for answer in answers)
        if not done:
            answers[0].fail(f"{named(200)} for one of them, because all had the current tag, {tag}")
        count.rounds.append(done)
        left -= done
    return count


async def update_writers(practice: Practice) -> None:
    """Nobody's one is lost."""
    count = await practice.evidence(counted)
    _, todo = await practice.shown_todo(count.id)
    expected = f"Count {count.start + WRITERS}"
    if todo.get("task") != expected or max(count.rounds) > 1:
        raise Failed(
            f'Sent PATCH from {WRITERS} writers at once, each adding one to the number in "Count {count.start}" '
            "and "
            f"reading again after a 412; got {as_json(todo.get('task'))} in the end, after {max(count.rounds)} of "
            "them "
            f'were let in with the same tag; expected "{expected}": between comparing the tag and storing the '
            "todo "
            "nobody else may come."
        )


UPDATE = Exercise(
    name="update",
    title="Change a part, lose nothing",
    hints=(
        "In the handler: find the todo, compare the tag, store the change, and nothing may come in between. "
        "Whatever has to be awaited, the body above all, comes before.",
        "RFC 7396 in words: a patch that is no object takes the target's place. Otherwise, for each of its "
        "members: null takes it out of the target, anything else is merged with what is there. For the tags, "
        "`tags_of(todo)` is a set of all that are current.",
        "In `merge`: `if not isinstance(patch, dict): return patch`, then `merged = dict(target) if "
        "isinstance(target, dict) else {}`; in `for name, value in patch.items():` `merged.pop(name, None)` "
        "if the value is None, else `merged[name] = merge(merged.get(name), value)`; then `return merged`. "
        "In `refuse_stale`: a 428 if `if_match is None`, and a 412 if `tags_of(todo).isdisjoint(tag.strip() "
        'for tag in if_match.split(","))`. In `change_todo`: `todo = find(todo_id)`, '
        '`refuse_stale(request.headers.get("If-Match"), todo)`, `todos[todo_id] = valid(merge(todo, patch), '
        "todo_id)`.",
    ),
    checks=(
        Check(
            "update.merge",
            0.5,
            "PATCH merges: what it does not name stays, null takes a member away, and sets the status to "
            '"Pending".',
            "Whoever changes one thing need not know all the others, nor overwrite what they are by now (RFC "
            "7396).",
            update_merge,
        ),
        Check(
            "update.task",
            0.25,
            "PATCH with null for the task gets 422, and changes nothing.",
            "A patch is valid if what comes out is: look at the result before it is stored.",
            update_task,
        ),
        Check(
            "update.match",
            0.5,
            "PATCH with a stale If-Match gets 412, without one 428; DELETE with a stale one gets 412; neither "
            "changes anything. The current tag, alone or in a list, lets it through.",
            "Two people open the same todo, and the second to save wipes out the first: this is the cure.",
            update_match,
        ),
        Check(
            "update.either",
            0.25,
            "PATCH takes the tag of the JSON and the tag of the XML, which may differ.",
            "If-Match asks for the todo, whatever format it was read in.",
            update_either,
        ),
        Check(
            "update.writers",
            0.5,
            f"{WRITERS} writers who each add one to the number in a todo's text, at once, add {WRITERS}.",
            "Comparing the tag and storing the change are one step, or two writers pass the same gate.",
            update_writers,
        ),
    ),
    needs=("app",),
    opens=Practice.open,
    untouched=update_untouched,
    deadline=45.0,
)
