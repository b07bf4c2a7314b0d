"""Lab 05, exercise ``formats``: JSON or XML, as the client likes (RFC 9110, 12.5.1)."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from xml.etree import ElementTree

from wirelab.checks import CannotJudge, Check, Exercise, NotAttempted
from wirelab.checks.exchange import Exchange, as_json, named
from wirelab.checks.practice_service import JSON, XML, Practice, as_caller, media_type, needs_status
from wirelab.checks.todo_service import flaw, new_task, no_handler

# What a client accepts, and what it gets. Ties, and nothing said, mean JSON.
WISHES: tuple[tuple[str, str], ...] = (
    ("", JSON),
    ("*/*", JSON),
    ("application/*", JSON),
    (f"{XML}, {JSON}", JSON),
    (f"{XML};q=0.5, {JSON}", JSON),
    (f"{JSON};q=0.5, {XML};q=0.9", XML),
    (f"{JSON};q=0.2, */*;q=0.1", JSON),
    (f"text/html, {XML};q=0.9, */*;q=0.8", XML),
    (f"image/png, {XML}", XML),
    (f"{XML};q=0, */*", JSON),
    (f"{JSON};q=0, */*;q=0.1", XML),
    (f"{JSON}; q=0.3, {XML}; q=0.7", XML),
)
IMPOSSIBLE = ("image/png", "text/*", f"{JSON};q=0, {XML};q=0")


async def accepted(practice: Practice, accept: str) -> Exchange:
    """GET the todo of this exercise with an Accept, or with none."""
    path = practice.item(await practice.evidence(Practice.any_todo))
    if accept:
        return await practice.send("GET", path, headers={"Accept": accept})
    # Over a bare connection: the other client has an Accept of its own.
    answer, _ = await practice.api.last_on_connection("GET", path, as_caller())
    return Exchange(f"GET {path} [no Accept]", answer.status, answer.headers, answer.body, answer.raised)


async def untouched(practice: Practice) -> None:
    """Whatever is asked for, there is JSON."""
    xml, png = await accepted(practice, XML), await accepted(practice, IMPOSSIBLE[0])
    if await practice.api.missing(xml):
        raise no_handler(xml)
    if xml.ok and png.ok and media_type(xml) == media_type(png) == JSON:
        raise NotAttempted(f"{xml.sent} answers with JSON, and so it does to any other Accept.")


async def formats_xml(practice: Practice) -> None:
    """A todo as XML, with what has a meaning in XML in its text."""
    task = f"{new_task()} <b>&amp; \"Söhne\" & 'Töchter' ]]> {secrets.randbelow(10**6)} €"
    status = "R&D <later>"
    answer, sent = await practice.post(task=task, status=status)
    id = await practice.id_of(answer, sent) if answer.ok else None
    if id is None:
        raise CannotJudge(f"this needs a new todo. {answer.said}.")
    _, todo = await practice.shown_todo(id)
    if fault := flaw(todo, id=id):
        raise CannotJudge(f"this needs GET to show the todo as JSON; {fault}.")
    answer = await practice.send("GET", practice.item(id), headers={"Accept": XML})
    if answer.status != HTTPStatus.OK or media_type(answer) != XML:
        answer.fail(
            f"{named(200)} with Content-Type: {XML}; it is {answer.headers.get('content-type', 'missing')}"
        )
    found = _texts(answer)
    for name in ("id", "task", "status"):
        if str(todo[name]) not in found.get(name, []):
            there = f"it is {as_json(found[name][0])}" if name in found else "there is none"
            answer.fail(
                f"{as_json(todo[name])} as the text of an element or attribute {name}, as in the JSON; {there}"
            )


def _texts(answer: Exchange) -> dict[str, list[str]]:
    """The texts of all elements and attributes by their names, without namespaces."""
    try:
        if b"<!ENTITY" in answer.body:
            raise ValueError
        root = ElementTree.fromstring(answer.body)
    except (ElementTree.ParseError, ValueError, LookupError) as fault:
        answer.fail(f"XML that can be read, with &, < and > escaped; {fault or 'entities are not read here'}")
    found: dict[str, list[str]] = {}
    for element in root.iter():
        pairs = [(element.tag, (element.text or "").strip()), *element.attrib.items()]
        for name, text in pairs:
            found.setdefault(str(name).rpartition("}")[2], []).append(text)
    return found


async def formats_quality(practice: Practice) -> None:
    """Wishes that can be met."""
    for accept, expected in WISHES:
        answer = await accepted(practice, accept)
        if not answer.ok or media_type(answer) != expected:
            got = media_type(answer) or "no type"
            answer.fail(f"{named(200)} with {expected}, which {_why(accept)}; it is {got}")


def _why(accept: str) -> str:
    if not accept:
        return "is what everybody gets who does not say"
    if accept in ("*/*", "application/*") or (";" not in accept and JSON in accept):
        return "comes first among what is equally welcome"
    return "is the one that this client likes best of the two"


async def formats_impossible(practice: Practice) -> None:
    """Wishes that cannot."""
    for accept in IMPOSSIBLE:
        answer = await accepted(practice, accept)
        needs_status(
            answer, HTTPStatus.NOT_ACCEPTABLE, "there is neither JSON nor XML among what the client takes"
        )


FORMATS = Exercise(
    name="formats",
    title="Two formats",
    hints=(
        "For each format that there is, find out how welcome it is, from 0 to 1; then take the most welcome one.",
        "Three ranges may speak of a format: its own name, `application/*` and `*/*`. The most special one of "
        "those that are there decides, even if it says less. `max` takes the first of several that are equal.",
        "In `best_format`: `wanted = wishes(accept)`. A function in it, `def quality(media_type):`, with "
        '`for name in (media_type, "application/*", "*/*"):`, in that `if name in wanted: return '
        "wanted[name]`, and after the loop `return 0`. Then `best = max((JSON, XML), key=quality)`, `if "
        'quality(best) == 0: raise HTTPException(406, "…")`, and `return best`. In `as_xml`: `"<todo>" + '
        '"".join(f"<{name}>{escape(str(todo[name]))}</{name}>" for name in ("id", "task", "status")) + '
        '"</todo>"`.',
    ),
    checks=(
        Check(
            "formats.xml",
            0.5,
            f"GET with Accept: {XML} gets the same todo as XML, escaped: id, task and status as text of elements "
            "or "
            "attributes.",
            "The resource is the todo; JSON and XML are two ways to write it down, and the client knows which it "
            "reads.",
            formats_xml,
        ),
        Check(
            "formats.quality",
            0.25,
            "The format with the higher q is sent; */* and application/* take any; ties, and no Accept, mean "
            "JSON.",
            "Browsers and libraries send such lists all the time, mostly without their users knowing.",
            formats_quality,
        ),
        Check(
            "formats.impossible",
            0.25,
            "An Accept that neither JSON nor XML meets gets 406 Not Acceptable.",
            "A client that asked for a picture cannot read your JSON, and had better know at once.",
            formats_impossible,
        ),
    ),
    needs=("app",),
    opens=Practice.open,
    untouched=untouched,
    deadline=45.0,
)
