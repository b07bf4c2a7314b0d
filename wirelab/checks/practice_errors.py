"""Lab 05, exercise ``errors``: answers to what goes wrong, for programs (RFC 9457; RFC 9110, 15.5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

from wirelab.checks import Check, Exercise, NotAttempted
from wirelab.checks.exchange import NOT_WRITTEN, Exchange, as_json, named, shown
from wirelab.checks.practice_pages import changed, cursor_in
from wirelab.checks.practice_retry import Creation
from wirelab.checks.practice_service import (
    BURST,
    JSON,
    MERGE_PATCH,
    PROBLEM,
    Practice,
    media_type,
    needs_status,
    new_key,
    other_status,
)
from wirelab.checks.todo_service import new_task

# How frameworks say by themselves that there is nothing at a path.
FRAMEWORKS_OWN = (b"Not Found", b'{"detail":"Not Found"}')
BROKEN = (b'{"task": "buy mi', b"{'task': 'buy milk'}")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# What other exercises bring, and what is looked at only once they have.
LATER = {406: "Accept: image/png", 412: "a stale If-Match", 428: "no If-Match", 429: "a flood"}


async def nowhere(practice: Practice) -> Exchange:
    """A path at which there is nothing."""
    return await practice.send("GET", f"/v1/{new_key()}")


async def no_json(practice: Practice) -> Exchange:
    """A body that breaks off."""
    return await practice.send("POST", practice.collection, raw=BROKEN[0])


async def untouched(practice: Practice) -> None:
    """Unknown paths and broken bodies are answered by the framework alone."""
    answer, broken = await practice.evidence(nowhere), await practice.evidence(no_json)
    own = answer.body in FRAMEWORKS_OWN or answer.status == HTTPStatus.NOT_IMPLEMENTED
    if own and PROBLEM not in (media_type(answer), media_type(broken)):
        kind = media_type(answer) or "no type"
        raise NotAttempted(f"an unknown path gets {named(answer.status)} with {kind}, as the framework does it.")


@dataclass(frozen=True)
class Provoked:
    """Answers to requests that cannot be granted.

    Attributes:
        answers: in the order in which they were sent.
        unknown: of these, to a path at which there is nothing.
        missing: statuses that no answer had, since their exercises are not done.
    """

    answers: list[Exchange]
    unknown: Exchange
    missing: list[int]


async def provoked(practice: Practice) -> Provoked:
    """Every kind of 4xx that there is."""
    id = await practice.any_todo()
    item, collection = practice.item(id), practice.collection
    unknown = await practice.evidence(nowhere)
    shown_item = await practice.send("GET", item)
    answers = [
        unknown,
        await practice.send("GET", practice.item(await practice.unused_id())),
        await practice.send("GET", f"{collection}/banana"),
        await practice.evidence(no_json),
        await practice.send("POST", collection, {"status": "Done"}),
        await practice.send("POST", collection, raw=b"milk", headers={"Content-Type": "text/plain"}),
        await practice.send("PUT", collection, {"task": new_task()}),
        await practice.send("GET", f"{collection}?limit=0"),
        await practice.send("GET", item, headers={"Accept": "image/png"}),
        await practice.patch(id, {"status": "Done"}, f'"{new_key()}"'),
        await practice.patch(id, {"status": "Done"}, ""),
        await practice.patch(id, {"task": None}, shown_item.headers.get("etag", "")),
        await used_key(practice),
        *await invented_cursor(practice),
    ]
    key = {"X-API-Key": new_key()}
    for _ in range(BURST + BURST // 2):
        answers.append(await practice.api.ask("GET", item, headers=key))
        if answers[-1].status == HTTPStatus.TOO_MANY_REQUESTS:
            break
    missing = sorted(LATER.keys() - {answer.status for answer in answers})
    return Provoked(answers, unknown, missing)


async def used_key(practice: Practice) -> Exchange:
    """An Idempotency-Key that comes a second time, with another body."""
    creation = Creation(practice)
    await creation.send()
    return await creation.send(as_json({"task": new_task()}).encode())


async def invented_cursor(practice: Practice) -> list[Exchange]:
    """A link to a second page with a word for its cursor; nothing if there is no such link."""
    link = practice.next_page(await practice.send("GET", f"{practice.collection}?limit=1"))
    name, _ = cursor_in(link or "")
    return [await practice.send("GET", changed(link, name, new_key()))] if link and name else []


async def errors_problem(practice: Practice) -> str | None:
    """All of them are problem details."""
    shown_errors = await practice.evidence(provoked)
    needs_status(shown_errors.unknown, HTTPStatus.NOT_FOUND, "there is nothing at that path")
    for answer in shown_errors.answers:
        if answer.refused:
            _is_problem(answer)
    if not shown_errors.missing:
        return None
    words = " or ".join(map(str, shown_errors.missing))
    return f"(No answer was a {words}, so these were not looked at.)"


def _is_problem(answer: Exchange) -> None:
    if (kind := media_type(answer)) != PROBLEM:
        answer.fail(f"Content-Type: {PROBLEM}, as for every 4xx; it is {kind or 'missing'}")
    body = answer.json()
    if not isinstance(body, dict):
        answer.fail('a JSON object, {"type": "…", "title": "…", "status": …}')
    for name in ("type", "title"):
        if not isinstance(body.get(name), str) or not body[name]:
            answer.fail(f'a member "{name}" that is a text; it is {as_json(body.get(name))}')
    if body.get("status") != answer.status or isinstance(body.get("status"), bool):
        answer.fail(
            f'a member "status" that is the status code, {answer.status}; it is {as_json(body.get("status"))}'
        )


async def errors_body(practice: Practice) -> None:
    """A body that is no JSON."""
    before = await practice.listed()
    for body in BROKEN:
        answer = await practice.send("POST", practice.collection, raw=body)
        if answer.status not in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
            answer.fail(f"{named(400)} or 422, because the body is no JSON")
    if added := (await practice.listed()).keys() - before.keys():
        answer.fail(f"nothing to be created; but now there is a todo with the id {min(added)}")


async def errors_allow(practice: Practice) -> None:
    """What a 405 says of the methods that there are, against what happens when they are tried."""
    collection, item = practice.collection, practice.item(await practice.make())
    for path, never in ((item, ["POST"]), (collection, ["PATCH", "DELETE"])):
        answers = {method: await _tried(practice, method, path) for method in METHODS}
        refusals = {
            method: answer for method, answer in answers.items() if answer.status == HTTPStatus.METHOD_NOT_ALLOWED
        }
        for method in never:
            if method not in refusals and not answers[method].ok:
                answers[method].fail(f"{named(405)}, because {path} has no {method}")
        for answer in refusals.values():
            if "allow" not in answer.headers:
                answer.fail("an Allow header: a 405 has to say which methods there are (RFC 9110, 15.5.6)")
            said = {name.strip() for name in answer.headers["allow"].split(",")} - {"HEAD", "OPTIONS", ""}
            for method in sorted(said - answers.keys()):
                if re.fullmatch("[A-Z]+", method):
                    answers[method] = await _tried(practice, method, path)
            there = {method for method, tried in answers.items() if tried.status != HTTPStatus.METHOD_NOT_ALLOWED}
            if said != there:
                answer.fail(
                    f"Allow: {', '.join(sorted(there))}, which are the methods that {path} answers; it says "
                    f"{shown(answer.headers['allow'])}"
                )


async def _tried(practice: Practice, method: str, path: str) -> Exchange:
    if method in ("GET", "DELETE"):
        return await practice.send(method, path)
    return await practice.send(method, path, {"task": new_task()})


async def errors_media(practice: Practice) -> str | None:
    """Bodies of a wrong type, and the two that a PATCH takes."""
    before = await practice.listed()
    text = f'{{"task": "{new_task()}"}}'.encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await practice.send("POST", practice.collection, raw=text, headers={"Content-Type": kind})
        needs_status(
            answer, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a body is JSON here, and this one claims to be {kind}"
        )
    if added := (await practice.listed()).keys() - before.keys():
        answer.fail(f"nothing to be created; but now there is a todo with the id {min(added)}")
    labelled = {"Content-Type": f"{JSON}; charset=utf-8"}
    answer = await practice.send("POST", practice.collection, {"task": new_task()}, headers=labelled)
    if not answer.ok:
        answer.fail(f"{named(201)}, because this is JSON, with a parameter behind its type")
    return await _patch_media(practice)


async def _patch_media(practice: Practice) -> str | None:
    id = await practice.make()
    for kind, taken in ((MERGE_PATCH, True), (JSON, True), ("text/plain", False)):
        todo = await practice.send("GET", practice.item(id))
        headers = {"Content-Type": kind} | ({"If-Match": todo.headers["etag"]} if "etag" in todo.headers else {})
        patch = as_json({"status": other_status(None)}).encode()
        answer = await practice.send("PATCH", practice.item(id), raw=patch, headers=headers)
        if answer.status in NOT_WRITTEN:
            return "(There is no PATCH yet, so its types were not looked at.)"
        if taken and answer.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            answer.fail(f"{named(200)}, because PATCH takes {MERGE_PATCH} and {JSON}")
        if not taken:
            needs_status(
                answer, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a patch is JSON, and this one claims to be {kind}"
            )
    return None


ERRORS = Exercise(
    name="errors",
    title="Errors for programs",
    hints=(
        "Three pieces: what a problem looks like, which methods a 405 names, and which types of a body are let "
        "in.",
        "A problem is JSON with `type`, `title`, `status` and maybe `detail`, and its media type says that it is "
        "one. Every route has a set, `route.methods`. Of a type, what counts is in front of the first `;`, and "
        "capitals do not.",
        'In `problem`: `content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": '
        'status, "detail": detail}`, then `return JSONResponse(content, status, headers, '
        'media_type="application/problem+json")`. In `methods_at`: `return {method for route in app.routes '
        "if route.matches(scope)[0] != Match.NONE for method in route.methods}`. In `refuse_other_types`: "
        '`if content_type.partition(";")[0].strip().lower() not in media_types: raise HTTPException(415, '
        '"…")`.',
    ),
    checks=(
        Check(
            "errors.problem",
            0.5,
            "Every 4xx, also 404 for an unknown path, is application/problem+json with a type, a title and the "
            "status.",
            "A program that knows one shape of error knows them all (RFC 9457), whoever wrote the service.",
            errors_problem,
        ),
        Check(
            "errors.body",
            0.25,
            "POST with broken JSON gets 400 Bad Request or 422, and nothing is created.",
            "Whoever sent it must learn that it was their fault, and that trying again will not help.",
            errors_body,
        ),
        Check(
            "errors.allow",
            0.5,
            "A 405 names in Allow exactly the methods that do not answer 405, HEAD and OPTIONS aside.",
            "Allow is how a client finds out what it can do with a resource (RFC 9110, 15.5.6).",
            errors_allow,
        ),
        Check(
            "errors.media",
            0.25,
            f"A body of a wrong type gets 415; PATCH takes {MERGE_PATCH} and {JSON}.",
            "A body that claims to be something else may mean something else: read it, and you have guessed.",
            errors_media,
        ),
    ),
    needs=("app",),
    opens=Practice.open,
    untouched=untouched,
    deadline=45.0,
)
