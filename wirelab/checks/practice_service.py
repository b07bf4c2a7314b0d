"""The todo service of lab 05 as a check meets it: under /v1/todos, in pages, with tags and limits.

Every request comes from a caller of its own, by an ``X-API-Key`` that nobody used before, unless a check says
which:
so a limit for each caller slows nothing down, and one limit for all costs waiting, no more.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from wirelab.checks import CannotJudge, Failed
from wirelab.checks.exchange import NO_HEADERS, Api, Exchange, named, path_on, shown
from wirelab.checks.todo_service import STATUSES, Todo, Todos, todos_within

# What the lab gives: requests at once, requests a second, todos on a page.
BURST, RATE, MAX_LIMIT = 20, 5, 100

JSON, XML = "application/json", "application/xml"
MERGE_PATCH, PROBLEM = "application/merge-patch+json", "application/problem+json"

# Pages that are read of one collection, at most.
PAGES = 60
# A link of a Link header with its parameters (RFC 8288, 3), and one parameter.
LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[^\s",;=]+(?:\s*=\s*(?:"[^"]*"|[^\s",;]*))?)*)')
PARAMETER = re.compile(r'([^\s",;=]+)\s*=\s*(?:"([^"]*)"|([^\s",;]*))')


def new_key() -> str:
    """A caller, or a creation, that nobody has heard of."""
    return secrets.token_hex(8)


class PracticeApi(Api):
    """A client whose requests each come from a new caller, and whose messages show the header fields it was given.

    An empty value leaves a field out.

    Attributes:
        limited: how many answers were a 429.
    """

    limited = 0

    async def _send_once(
        self, method: str, path: str, content: bytes | None, sent: str, more: Mapping[str, str]
    ) -> Exchange:
        words = [f"{name}: {value}" if value else f"no {name}" for name, value in more.items()]
        if words:
            body = f" {shown(content)}" if content is not None else ""
            sent = f"{method} {path} [{shown(', '.join(words))}]{body}"
        answer = await super()._send_once(method, path, content, sent, as_caller(more))
        self.limited += answer.status == HTTPStatus.TOO_MANY_REQUESTS
        return answer


def as_caller(headers: Mapping[str, str] = NO_HEADERS) -> dict[str, str]:
    """Header fields with a new caller among them, unless they say which."""
    fields = {"x-api-key": new_key()} | {name.lower(): value for name, value in headers.items()}
    return {name: value for name, value in fields.items() if value}


class Practice(Todos):
    """The service under test."""

    collection = "/v1/todos"
    client = PracticeApi
    api: PracticeApi

    async def listed(self) -> dict[int, Todo]:
        """The todos of all pages by id, in whatever shape; empty if there are none to be had."""
        found: dict[int, Todo] = {}
        with contextlib.suppress(Failed):
            path: str | None = f"{self.collection}?limit={MAX_LIMIT}"
            for _ in range(PAGES):
                if path is None:
                    break
                answer = await self.send("GET", path)
                if answer.ok:
                    found |= {todo["id"]: todo for todo in todos_within(answer.json())}
                path = self.next_page(answer)
        self.seen |= found.keys()
        return found

    def next_page(self, answer: Exchange) -> str | None:
        """Where the link to the next page leads; None if there is none.

        Raises:
            Failed: it leads to another server.
        """
        for target, relations in links(answer.headers.get("link", "")):
            if "next" in relations:
                # The Link is relative to the page that it came with.
                page = answer.sent.split(" ")[1]
                if (path := path_on(target, self.api.address, page)) is None:
                    raise Failed(
                        f"{answer.said} and Link: {shown(answer.headers['link'])}; expected a link to this server."
                    )
                return path
        return None

    async def tag(self, path: str, **headers: str) -> str:
        """The ETag of what is at a path.

        Raises:
            CannotJudge: it has none.
        """
        answer = await self.send("GET", path, headers=headers)
        if not answer.ok or "etag" not in answer.headers:
            raise CannotJudge(f"this needs GET with an ETag (exercise conditional). {answer.said}, and no ETag.")
        return answer.headers["etag"]

    async def patch(self, id: int, patch: Any, tag: str) -> Exchange:
        """Send a PATCH; which media types it takes is for another exercise to judge."""
        headers = {"If-Match": tag} if tag else {}
        for media_type in (MERGE_PATCH, JSON):
            answer = await self.send(
                "PATCH", self.item(id), patch, headers={"Content-Type": media_type, **headers}
            )
            if answer.status != HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
                break
        return answer

    async def change(self, id: int, **members: str) -> Exchange:
        """Change a todo with PATCH, or with PUT if there is no PATCH that works.

        Task and status are sent in any case: what PATCH does with what it was not sent is not the question here.

        Raises:
            CannotJudge: neither works.
        """
        before, todo = await self.shown_todo(id)
        whole = {"task": todo.get("task"), "status": todo.get("status"), **members}
        answer = await self.patch(id, whole, before.headers.get("etag", ""))
        if not answer.ok:
            put = await self.send("PUT", self.item(id), whole)
            if not put.ok:
                raise CannotJudge(
                    f"this needs a PATCH (exercise update) or PUT that changes a todo. {answer.said}."
                )
            return put
        return answer

    async def drop(self, id: int) -> None:
        """Delete one todo.

        Raises:
            CannotJudge: that does not work.
        """
        answer = await self.send("DELETE", self.item(id))
        if not answer.ok:
            raise CannotJudge(f"this needs DELETE to work. {answer.said}.")

    async def shown_todo(self, id: int) -> tuple[Exchange, Todo]:
        """GET a todo: the answer, and the todo.

        Raises:
            CannotJudge: it is not to be had.
        """
        answer = await self.send("GET", self.item(id))
        todo = answer.json()
        if not answer.ok or not isinstance(todo, dict):
            raise CannotJudge(f"this needs GET to show the todo with the id {id}. {answer.said}.")
        return answer, todo


def links(field: str) -> Iterator[tuple[str, list[str]]]:
    """The targets of a Link header, each with its relations, in lower case."""
    for target, parameters in LINK.findall(field):
        found = {name.lower(): quoted or plain for name, quoted, plain in PARAMETER.findall(parameters)}
        yield target, found.get("rel", "").lower().split()


def other_status(status: object) -> str:
    """Another status than this one."""
    return secrets.choice([one for one in STATUSES if one != status])


def media_type(answer: Exchange) -> str:
    """What an answer claims its body to be, without parameters, in lower case."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def needs_status(answer: Exchange, status: int, because: str) -> None:
    """Fail unless an answer has this very status."""
    if answer.status != status:
        answer.fail(f"{named(status)}, because {because}")
