"""Lab 05, exercise ``retry``: a POST that may be sent again (draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

from wirelab.checks import CannotJudge, Check, Exercise, Failed, NotAttempted
from wirelab.checks.exchange import Exchange, as_json, named, shown
from wirelab.checks.practice_service import Practice, new_key
from wirelab.checks.todo_service import Todo, new_task, no_handler

# Duplicates in flight at the same time.
TOGETHER = 4


class Creation:
    """One creation that is sent more than once: with a caller, a key, and a body."""

    def __init__(self, practice: Practice, caller: str = "", key: str = "") -> None:
        """Draw what is not given."""
        self._practice = practice
        self.caller, self.key = caller or new_key(), key or str(uuid4())
        self.todo: Todo = {"task": new_task(), "status": "Done"}

    @property
    def headers(self) -> dict[str, str]:
        """Who sends it, and by which key."""
        # A string of a structured field has quotation marks (RFC 9651, 3.3.3), as the draft asks for.
        return {"X-API-Key": self.caller, "Idempotency-Key": f'"{self.key}"'}

    async def send(self, raw: bytes | None = None) -> Exchange:
        """Send it, maybe with another body."""
        body = raw or as_json(self.todo).encode()
        return await self._practice.send("POST", self._practice.collection, raw=body, headers=self.headers)

    async def send_at_once(self, times: int) -> list[Exchange]:
        """Send it several times in the same instant."""
        bodies = [self.todo] * times
        return await self._practice.api.at_once("POST", self._practice.collection, bodies, headers=self.headers)

    async def made(self) -> int:
        """How many todos with this task there are."""
        return sum(todo.get("task") == self.todo["task"] for todo in (await self._practice.listed()).values())


@dataclass(frozen=True)
class Twice:
    """The same creation, sent twice, one after the other.

    Attributes:
        creation: what was sent.
        first: its first answer.
        second: its second answer.
        made: how many todos there are of it.
    """

    creation: Creation
    first: Exchange
    second: Exchange
    made: int


async def twice(practice: Practice) -> Twice:
    """Send a creation, and send it again."""
    creation = Creation(practice)
    first = await creation.send()
    if await practice.api.missing(first):
        raise no_handler(first)
    if not first.ok:
        raise CannotJudge(f"this needs POST {practice.collection} to work. {first.said}.")
    return Twice(creation, first, await creation.send(), await creation.made())


async def other_body(practice: Practice) -> Exchange:
    """A used key with another body."""
    creation = (await practice.evidence(twice)).creation
    return await creation.send(as_json({"task": new_task()}).encode())


async def untouched(practice: Practice) -> None:
    """The key makes no difference."""
    seen = await practice.evidence(twice)
    if seen.second.ok and seen.second.body != seen.first.body and (await practice.evidence(other_body)).ok:
        raise NotAttempted("POST with an Idempotency-Key creates a todo each time, as if there were no key.")


async def retry_once(practice: Practice) -> None:
    """The second answer is the first."""
    seen = await practice.evidence(twice)
    first, second = seen.first, seen.second
    if seen.made > 1:
        second.fail(f"one todo, because this was sent before with the same key; there are {seen.made}")
    if second.status != first.status:
        second.fail(f"{named(first.status)}, as the first time")
    if second.json() != first.json():
        second.fail(f"the same body as the first time, {shown(first.body)}")
    if (before := first.headers.get("location")) != (now := second.headers.get("location")):
        raise Failed(
            f"{second.said} and Location: {shown(str(now))}; expected Location: {shown(str(before))}, as the "
            "first time."
        )


async def retry_at_once(practice: Practice) -> None:
    """Duplicates that meet."""
    creation = Creation(practice)
    answers = await creation.send_at_once(TOGETHER)
    good = [answer for answer in answers if answer.ok]
    if not good:
        answers[0].fail(f"{named(201)} for one of {TOGETHER} that were sent at once")
    for answer in answers:
        if not answer.ok and answer.status != HTTPStatus.CONFLICT:
            answer.fail(f"{named(good[0].status)}, or {named(409)} while the first one is still in flight")
        if answer.ok and answer.json() != good[0].json():
            answer.fail(f"the same todo for each of {TOGETHER} that were sent at once, {shown(good[0].body)}")
    if (made := await creation.made()) > 1:
        good[0].fail(f"one todo, although {TOGETHER} were sent at once with the same key; there are {made}")


async def retry_body(practice: Practice) -> None:
    """Equal JSON is the same body; anything else is another."""
    seen = await practice.evidence(twice)
    todo = seen.creation.todo
    equal = f'{{ "status" : {as_json(todo["status"])},\n  "task": {as_json(todo["task"])} }}'.encode()
    answer = await seen.creation.send(equal)
    if not answer.ok or answer.json() != seen.first.json():
        answer.fail(
            f"{named(seen.first.status)} with {shown(seen.first.body)}, because it is the same JSON with other "
            "spaces, in "
            "another order"
        )
    answer = await practice.evidence(other_body)
    if answer.status != HTTPStatus.UNPROCESSABLE_ENTITY:
        answer.fail(f"{named(422)}, because this key came with {as_json(todo)} before")


async def retry_scope(practice: Practice) -> None:
    """Another caller who happens to use the same key."""
    creation = (await practice.evidence(twice)).creation
    other = Creation(practice, key=creation.key)
    answer = await other.send()
    body = answer.json()
    if not answer.ok or not isinstance(body, dict) or body.get("task") != other.todo["task"]:
        answer.fail(
            f"a new todo, {as_json(other.todo)}, because it was another caller who used that Idempotency-Key"
        )


RETRY = Exercise(
    name="retry",
    title="Creations that may be sent again",
    hints=(
        "Remember, for each caller and key, what was sent and what it created. The second time there is nothing "
        "to create.",
        "A dictionary does it, with `(caller, key)` as its key, and `(sent, todo)` as its value. `sent` is what "
        "`json.loads` made of the body, so spaces and order do not count.",
        "`if (caller, key) not in answered: answered[caller, key] = sent, create(sent)`, then `before, todo = "
        'answered[caller, key]`, then `if before != sent: raise HTTPException(422, "…")`, then `return todo`.',
    ),
    checks=(
        Check(
            "retry.once",
            0.25,
            "POST with an Idempotency-Key, sent twice, creates one todo, and gets the same status, body and "
            "Location.",
            "A client that got no answer cannot know whether its request came through; now it need not.",
            retry_once,
        ),
        Check(
            "retry.at_once",
            0.25,
            f"{TOGETHER} of them sent at once create one todo; a duplicate may get 409 while the first is in "
            "flight.",
            "Impatient clients do not wait for the first answer to fail.",
            retry_at_once,
        ),
        Check(
            "retry.body",
            0.25,
            "Equal JSON is the same body, however it is written; another body with a used key gets 422.",
            "A key that comes with something else is a mistake of the client's, and must not be swallowed.",
            retry_body,
        ),
        Check(
            "retry.scope",
            0.25,
            "The same Idempotency-Key of another caller, by its X-API-Key, creates a todo of its own.",
            "Keys are chosen by clients: without a scope, one could read what another has created.",
            retry_scope,
        ),
    ),
    needs=("app",),
    opens=Practice.open,
    untouched=untouched,
    deadline=45.0,
)
