"""Lab 05, exercise ``pages``: a collection in pages, whose cursors nobody else can make."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

from wirelab.checks import CannotJudge, Check, Exercise, Failed, NotAttempted
from wirelab.checks.exchange import Exchange, as_json, named, shown
from wirelab.checks.practice_service import BURST, MAX_LIMIT, PAGES, Practice, as_caller
from wirelab.checks.todo_service import flaw, new_task, no_handler

# Todos that are made for the pages, and on each of them.
MADE, LIMIT = 7, 3
# Creations at a time, by one caller.
AT_A_TIME = BURST // 2

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits


async def some(practice: Practice) -> frozenset[int]:
    """Make enough todos for several pages; the ids of all that there are."""
    made = [await practice.make() for _ in range(MADE)]
    return frozenset({*made, *await practice.listed()})


async def untouched(practice: Practice) -> None:
    """There is no collection, or it comes whole however little of it is asked for."""
    await practice.evidence(some)
    answer = await practice.send("GET", f"{practice.collection}?limit=1")
    if await practice.api.missing(answer):
        raise no_handler(answer)
    page = answer.json()
    if answer.ok and isinstance(page, list) and len(page) > MADE and "link" not in answer.headers:
        raise NotAttempted(f"GET {practice.collection}?limit=1 answers with all {len(page)} todos.")


@dataclass
class Walk:
    """Pages from the first to the last.

    Attributes:
        pages: the ids on each.
        first: the first page's answer.
        last: the last page's answer.
    """

    pages: list[list[int]]
    first: Exchange
    last: Exchange

    def judge(self, expected: frozenset[int], meanwhile: str = "") -> None:
        """Each of these todos comes once."""
        times = Counter(id for page in self.pages for id in page)
        sent = f"Sent {self.first.sent} and followed the links to {len(self.pages)} pages{meanwhile}"
        for id in sorted(expected):
            if times[id] == 0:
                raise Failed(
                    f"{sent}; got the todo {id} on none of them, {self.pages}; expected every todo that stays to "
                    "come once: this one was missed."
                )
            if times[id] > 1:
                raise Failed(
                    f"{sent}; got the todo {id} {times[id]} times, in {self.pages}; expected every todo that "
                    "stays "
                    "to come once: this one was doubled."
                )


async def walk(practice: Practice, turn: Callable[[list[int]], Awaitable[None]] | None = None) -> Walk:
    """Follow the links; `turn` is given each page but the last before the next is asked for."""
    answer = first = await get_page(practice, f"{practice.collection}?limit={LIMIT}")
    pages = [ids_on(answer)]
    while (path := practice.next_page(answer)) is not None:
        if len(pages) >= PAGES:
            answer.fail(f'a last page, without rel="next": this was page {len(pages)}')
        if turn:
            await turn(pages[-1])
        answer = await get_page(practice, path)
        pages.append(ids_on(answer))
    return Walk(pages, first, answer)


async def get_page(practice: Practice, path: str) -> Exchange:
    """GET a page that must be there."""
    answer = await practice.send("GET", path)
    if await practice.api.missing(answer):
        raise no_handler(answer)
    if answer.status != HTTPStatus.OK:
        answer.fail(f"{named(200)} with a page of todos")
    return answer


def ids_on(answer: Exchange) -> list[int]:
    """The ids on a page."""
    page = answer.json()
    if not isinstance(page, list):
        answer.fail("a JSON array, [...], with one object for each todo on the page")
    for todo in page:
        if fault := flaw(todo):
            answer.fail(f'objects like {{"id": 1, "task": "…", "status": "…"}}; of {as_json(todo)}, {fault}')
    return [todo["id"] for todo in page]


async def pages_walk(practice: Practice) -> None:
    """Nothing changes meanwhile."""
    expected = await practice.evidence(some)
    walked = await walk(practice)
    first = walked.pages[0]
    if len(first) != LIMIT:
        walked.first.fail(f"{LIMIT} todos, because there are {len(expected)} and the limit says so")
    if len(walked.pages) == 1:
        link = walked.first.headers.get("link")
        raise Failed(
            f"{walked.first.said}, and {f'Link: {shown(link)}' if link else 'no Link header'}; expected "
            f'Link: <…>; rel="next", because there are more than these {LIMIT} todos.'
        )
    walked.judge(expected)


async def pages_steady(practice: Practice) -> None:
    """Others delete and add between one page and the next."""
    stays = set(await practice.evidence(some))
    made: list[int] = []

    async def others(page: list[int]) -> None:
        # More go than come: what comes first in one order comes last in another, and may make up for it. The
        # last todo of a page is the one that its cursor stands on.
        gone = [page[-1], *page[:1]] if page and not made else page[-1:]
        for id in dict.fromkeys(gone):
            await practice.drop(id)
            stays.discard(id)
        made.append(await practice.make())

    try:
        walked = await walk(practice, others)
    except Failed as fault:
        if not made:
            raise
        raise Failed(
            f"{str(fault).removesuffix('.')}, although others deleted todos of the page before."
        ) from None
    if not made:
        raise CannotJudge("this needs more than one page (the check pages.walk).")
    walked.judge(frozenset(stays), ", while others deleted the last todo of each page and added others")


async def pages_cursor(practice: Practice) -> None:
    """Cursors that the server did not issue: its own with one character changed, and a word."""
    await practice.evidence(some)
    answer = await get_page(practice, f"{practice.collection}?limit={LIMIT}")
    following = practice.next_page(answer)
    if following is None:
        raise CannotJudge("this needs a link to a second page (the check pages.walk).")
    await get_page(practice, following)
    name, issued = cursor_in(following)
    if not name:
        raise Failed(
            f"{answer.said} and Link: {shown(answer.headers['link'])}; expected a cursor in the link's query, "
            "beside "
            "the limit."
        )
    for forged in forgeries(issued):
        tried = await practice.send("GET", changed(following, name, forged))
        if tried.status != HTTPStatus.BAD_REQUEST:
            tried.fail(
                f"{named(400)}, because the server did not issue that cursor; it issued {shown(issued)}, and "
                "whoever "
                "can make cursors of their own can read where they should not"
            )


def cursor_in(link: str) -> tuple[str, str]:
    """The cursor in the query of a link, and what it is called there; empty if there is none."""
    fields = _fields(link)
    names = [name for name in fields if name != "limit" and fields[name]]
    name = max(names, key=lambda name: len(fields[name]), default="")
    return name, fields.get(name, "")


def changed(link: str, name: str, value: str) -> str:
    """A link with another value for a name in its query."""
    return f"{link.partition('?')[0]}?{urlencode(_fields(link) | {name: value})}"


def _fields(link: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link).query, keep_blank_values=True))


def forgeries(cursor: str) -> list[str]:
    """The cursor with one character changed, in several places and ways; and a word."""
    body = len(cursor.rstrip("="))
    places = {0, len(cursor) // 2, max(body - 1, 0), len(cursor) - 1}
    forged = [cursor[:at] + another(cursor[at]) + cursor[at + 1 :] for at in sorted(places)]
    # Hexadecimal digits mean the same in capitals.
    letters = [at for at, char in enumerate(cursor) if char.isalpha()]
    forged += [cursor[:at] + cursor[at].swapcase() + cursor[at + 1 :] for at in letters[-1:]]
    return [*dict.fromkeys(forged), "banana"]


def another(char: str) -> str:
    """The next character in the order of base64: at the end of a text it may stand for the same bytes."""
    place = ALPHABET.find(char)
    return ALPHABET[(place + 1) % len(ALPHABET)]


async def pages_limit(practice: Practice) -> str | None:
    """Limits that make no sense are refused, and too high ones lowered."""
    answer = await practice.send("GET", f"{practice.collection}?limit=2")
    if len(ids_on(answer)) != 2:
        answer.fail("2 todos, because there are more and the limit says so")
    for wrong in ("0", "-1", "banana"):
        answer = await practice.send("GET", f"{practice.collection}?limit={wrong}")
        if not answer.refused:
            answer.fail(f"a 4xx status such as {named(422)}, because a page cannot hold {wrong} todos")
    path = f"{practice.collection}?limit={10 * MAX_LIMIT}"
    answer = await practice.send("GET", path)
    if answer.status != HTTPStatus.OK:
        answer.fail(
            f"{named(200)} with at most {MAX_LIMIT} todos: a limit that is too high is lowered, not refused"
        )
    missing = MAX_LIMIT + 5 - len(await practice.listed())
    for _ in range(0, missing, AT_A_TIME):
        if practice.api.limited:
            return f"(New callers got a 429, so a limit above {MAX_LIMIT} was not tried on as many todos.)"
        bodies = [{"task": new_task()} for _ in range(AT_A_TIME)]
        await practice.api.at_once("POST", practice.collection, bodies, headers=as_caller())
    answer = await practice.send("GET", path)
    if (count := len(ids_on(answer))) > MAX_LIMIT:
        raise Failed(f"Sent {answer.sent}; got {count} todos; expected at most {MAX_LIMIT} on one page.")
    return None


PAGES_EXERCISE = Exercise(
    name="pages",
    title="Read it in pages",
    hints=(
        "A cursor says where the last page ended: behind which id. It does not say how many todos came before, "
        "because others add and delete meanwhile.",
        "The page: of the todos in the order of their ids, those whose id is above `last_id`, and of these the "
        "first `limit`. To read a cursor, take the id out of it and make the cursor again: if that is another, "
        "this one was not yours.",
        "`found = [todo for todo_id, todo in sorted(todos.items()) if todo_id > last_id]`, then `return "
        'found[:limit], len(found) > limit`. The cursor: `text = cursor.partition("-")[0]`, then `if '
        'make_cursor(text) != cursor: raise HTTPException(400, "…")`, then `return int(text)`.',
    ),
    checks=(
        Check(
            "pages.walk",
            0.25,
            'GET /v1/todos?limit=3 answers with 3 todos and Link: <…>; rel="next"; following the links to the '
            "last "
            "page, which has none, shows every todo once.",
            "A program follows links without knowing how they are made (RFC 8288), so you may change that later.",
            pages_walk,
        ),
        Check(
            "pages.steady",
            0.5,
            "Every todo that stays comes once, while others delete and add todos between the pages, also the todo "
            "that the cursor stands on.",
            "An offset counts what is in front of it: one deletion there, and the next page leaves one out.",
            pages_steady,
        ),
        Check(
            "pages.cursor",
            0.5,
            "A cursor that the server did not issue gets 400 Bad Request, be it one changed character.",
            "What clients can take apart they come to rely on; signed, a cursor stays yours to change.",
            pages_cursor,
        ),
        Check(
            "pages.limit",
            0.25,
            f"A limit below 1, or none that is a number, gets a 4xx status; one above {MAX_LIMIT} gets at most "
            f"{MAX_LIMIT} todos.",
            "Without an upper limit, one request can ask for everything, again and again.",
            pages_limit,
        ),
    ),
    needs=("app",),
    opens=Practice.open,
    untouched=untouched,
    deadline=45.0,
)
