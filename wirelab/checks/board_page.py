"""The page of a board under test: as it comes over the wire, and as it lives in a browser."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from wirelab.checks import CannotJudge, Failed, Target
from wirelab.checks.board_browser import SHOW_DEADLINE, Look, NoBrowser, Window, browser_path, open_window
from wirelab.checks.board_service import Board
from wirelab.checks.evidence import Subject
from wirelab.checks.exchange import Exchange, shown
from wirelab.checks.todo_service import new_task, no_handler
from wirelab.link import Relay

# Seconds between two looks at the page.
PAUSE = 0.05
# Addresses with a host of their own, in scripts and styles.
ELSEWHERE = re.compile(
    r"""(?:\b(?:from|import)|\b(?:import|url|fetch|WebSocket)\()\s*["'`]?((?:https?:|wss?:)?//[\w\[][^\s"'`)]*)"""
)
# What loads something, and by which attribute. (A plain link leads away, and loads nothing.)
LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "audio": "src", "video": "src"}


class Page(Subject):
    """The board and its page.

    Attributes:
        board: the application, to change it.
        browser: the path of a browser, if there is one.
    """

    def __init__(self, board: Board, relay: Relay) -> None:
        """Use `open`."""
        super().__init__()
        self.board = board
        self.relay = relay
        self.browser = browser_path()

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncIterator[Page]:
        """Start the application, with a relay before it that can be cut."""
        async with Board.open(target) as board, Relay(None, board.port) as relay:
            yield cls(board, relay)


@dataclass(frozen=True)
class Delivery:
    """What comes over the wire.

    Attributes:
        answer: to GET /.
        parts: the texts of the page and of the scripts and styles that it loads from its own server.
        elsewhere: addresses of other servers that it loads from.
    """

    answer: Exchange
    parts: list[str]
    elsewhere: list[str]

    @property
    def names_the_socket(self) -> bool:
        """Whether the path of the socket stands in it."""
        return any("updates" in part for part in self.parts)

    @property
    def has_a_status(self) -> bool:
        """Whether there is an element, or code that makes one, with the role status."""
        return any(re.search(r"""role["']?\s*[=:,]\s*["'`]?status|<output""", part) for part in self.parts)


async def delivery(page: Page) -> Delivery:
    """Get the page, and what it loads, without a browser."""
    answer = await page.board.api.send("GET", "/")
    if await page.board.api.missing(answer):
        raise no_handler(answer)
    text = answer.body.decode(errors="replace")
    loader = _Loader()
    loader.feed(text)
    parts, elsewhere = [text], []
    for address in loader.addresses:
        parsed = urlsplit(urljoin("http://here/", address))
        if parsed.scheme in ("data", "blob"):
            continue
        if parsed.netloc != "here":
            elsewhere.append(address)
        else:
            part = await page.board.api.send("GET", parsed.path + (f"?{parsed.query}" if parsed.query else ""))
            parts.append(part.body.decode(errors="replace"))
    elsewhere += [found for part in parts for found in ELSEWHERE.findall(part)]
    return Delivery(answer, parts, elsewhere)


class _Loader(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADS.get(tag, ""))
        if address:
            self.addresses.append(address)


@dataclass
class Life:
    """What was seen of the page in the browser: what each part of a visit raised, None if all was well.

    Attributes:
        live: whether it shows the board and its changes.
        text: whether it shows a todo's text as text.
        honest: whether it says that it lost the connection, and catches up.
    """

    live: Failed | CannotJudge | None = None
    text: Failed | CannotJudge | None = None
    honest: Failed | CannotJudge | None = None


async def life(page: Page) -> Life | None:
    """Open the page in a browser, change the board, break the connection; None where there is no browser."""
    if page.browser is None:
        return None
    seen = Life()
    # Before the page is opened: otherwise its first look could pass for a change that it was told.
    await page.board.create()
    try:
        async with open_window(page.browser, page.relay.http) as window:
            visit = Visit(page, window)
            await visit.live()
            for name, look in (("text", visit.text), ("honest", visit.honest)):
                try:
                    await look()
                except (Failed, CannotJudge) as fault:
                    setattr(seen, name, fault)
    except NoBrowser:
        return None
    except (Failed, CannotJudge) as fault:
        seen.live = fault
    return seen


class Visit:
    """One visit to the page in a browser."""

    def __init__(self, page: Page, window: Window) -> None:
        """Look at a page that was just opened."""
        self._board = page.board
        self._relay = page.relay
        self._window = window

    async def live(self) -> None:
        """See the todos that were there, a creation, a replacement and a deletion."""
        _, snapshot = await self._board.snapshot()
        tasks = [todo["task"] for todo in snapshot.todos.values()]
        await self._shows(
            lambda look: all(task in look.todos for task in tasks),
            "GET / from a browser",
            f"every todo of the board in #todos, {shown(', '.join(tasks))}",
        )
        task, new, status = new_task(), new_task(), f"Status {secrets.token_hex(3)}"
        id = await self._board.create(task=task)
        await self._shows(
            lambda look: task in look.todos,
            f"POST /todos with the task {task}, the page being open",
            "to see it in #todos without a reload",
        )
        await self._board.change("PUT", id, {"task": new, "status": status})
        await self._shows(
            lambda look: all(text in look.todos for text in (new, status)) and task not in look.todos,
            f"PUT /todos/{id} with the task {new} and the status {status}, the page being open",
            "to see both in #todos, in the place of the old ones",
        )
        await self._board.change("DELETE", id)
        look = await self._shows(
            lambda look: new not in look.todos,
            f"DELETE /todos/{id}, the page being open",
            f"{new} to be gone from #todos",
        )
        if not any(path == "/updates" for path in look.sockets):
            raise Failed("Sent GET / from a browser; got no WebSocket to /updates; expected the page to listen.")

    async def text(self) -> None:
        """See a task with markup in it as it was written."""
        task = f"<mark>{new_task()}</mark>"
        await self._board.create(task=task)
        word = task.split()[-1].partition("<")[0]
        look = await self._shows(
            lambda look: word in look.todos, f"POST /todos with the task {task}", "to see it in #todos"
        )
        if look.marked or task not in look.todos:
            raise Failed(
                f"Sent POST /todos with the task {task}; got a page in which a part of it has become an element; "
                "expected the text as it was written: else the next one is a <script>."
            )

    async def honest(self) -> None:
        """See what the page says when its connection breaks, and when it is back."""
        before = (await self._window.look()).state
        if before is None:
            raise Failed(
                'Sent GET / from a browser; got a page without an element that has role="status"; expected one '
                "that says whether the page is connected."
            )
        self._relay.refuse()
        self._relay.reset()
        try:
            cut = "a reset of every connection, and no way to connect"
            cut_off = await self._shows(
                lambda look: look.state and look.state != before,
                cut,
                f'to see in role="status" that the connection is lost, in place of "{shown(before)}"',
            )
            task = new_task()
            await self._board.create(task=task)
        finally:
            self._relay.accept()
        sent = f"{cut}, meanwhile POST /todos with the task {task}, and then a way to connect"
        await self._shows(lambda look: task in look.todos, sent, "to see it in #todos without a reload")
        await self._shows(
            lambda look: look.state != cut_off.state,
            sent,
            f'another text in role="status" than "{shown(cut_off.state or "")}", now that the page is connected',
        )

    async def _shows(self, condition: Callable[[Look], Any], sent: str, expected: str) -> Look:
        """Look until a condition holds; the look for which it did.

        Raises:
            Failed: it does not come to hold.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SHOW_DEADLINE
        while True:
            look = await self._window.look()
            if condition(look):
                return look
            if loop.time() > deadline:
                break
            await asyncio.sleep(PAUSE)
        if "role=" in expected:
            got = f'"{shown(look.state or "")}" in role="status"'
        elif look.found:
            got = f'the text "{shown(_words(look.todos))}" in #todos'
        else:
            got = "no element #todos"
        raise Failed(f"Sent {sent}; got {got} for {SHOW_DEADLINE:g} seconds{look.complaint}; expected {expected}.")


def _words(text: str) -> str:
    return " ".join(text.split())
