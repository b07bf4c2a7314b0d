"""A page of a board in a browser, where there is one: what it shows, and how it takes a broken connection.

The browser is a Chromium or Chrome on the search path, driven by the package playwright; neither is needed. The
page is a stranger's: it gets nothing but the one server it comes from, and every wait has an end.

Playwright runs in a process of its own, ``python -m wirelab.checks.board_browser HANDLE PATH``, that answers calls
on the socket with that handle: Playwright ends its browser when its pipes are closed, and a deliverable that is
forked meanwhile would hold these open. Sockets it does not keep.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wirelab.checks import Failed, RemoteError
from wirelab.checks.exchange import shown
from wirelab.checks.remote import Calls, RemoteGenerator, answer_calls

if TYPE_CHECKING:
    from playwright.async_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Seconds until the browser has started; until a page shows what it should, on a machine that may be busy; until a
# browser that was told to end is killed.
START_DEADLINE, SHOW_DEADLINE, END_DEADLINE = 20.0, 9.0, 5.0
# A proxy that is not there, for whatever does not go to the page's own server.
NOWHERE = "http://127.0.0.1:1"
# Characters of a page that are looked at.
SEEN_LENGTH = 100_000
# Everything of the page that a check looks at, in one look.
LOOK = """(length) => {
    const todos = document.querySelector("#todos");
    const state = document.querySelector("[role=status]");
    return {
        found: Boolean(todos),
        todos: todos ? todos.textContent.slice(0, length) : "",
        marked: todos ? todos.querySelectorAll("mark").length : 0,
        state: state && state.textContent.trim().slice(0, length),
    };
}"""


def browser_path() -> str | None:
    """Where a browser is that can be driven from here; None if there is none.

    Windows counts as having none: it cannot hand the process of the browser its socket.
    """
    if importlib.util.find_spec("playwright") is None or not hasattr(os, "fork"):
        return None
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class NoBrowser(Exception):
    """There is a browser, but it does not start."""


@dataclass(frozen=True)
class Look:
    """What a page shows at one moment.

    Attributes:
        found: whether there is an element #todos.
        todos: its text.
        marked: how many mark elements are in it.
        state: the text of the element with the role status, None if there is none.
        outside: what the page has asked for that is not on its server; nothing of it was let through.
        sockets: the paths of the WebSockets that it has opened.
        errors: what its program has raised.
    """

    found: bool
    todos: str
    marked: int
    state: str | None
    outside: list[str]
    sockets: list[str]
    errors: list[str]

    @property
    def complaint(self) -> str:
        """What went wrong in the page, for a message; empty if nothing is known."""
        if self.outside:
            return f" (the page asked for {shown(self.outside[0])}, which is not on its server)"
        return f" (the page's program raised {shown(self.errors[0])})" if self.errors else ""


class Window:
    """A page that is open in the browser."""

    def __init__(self, looks: RemoteGenerator) -> None:
        """Use `open_window`."""
        self._looks = looks

    async def look(self) -> Look:
        """What the page shows now.

        Raises:
            Failed: the page does not load or react.
            NoBrowser: the browser does not start, or has ended.
        """
        try:
            return Look(**await anext(self._looks))
        except RemoteError as error:
            if error.names[0] == "Failed":
                raise Failed(error.text) from None
            raise NoBrowser from None


@asynccontextmanager
async def open_window(path: str, address: str) -> AsyncIterator[Window]:
    """Open the page of a server in a browser that reaches that server and nothing else.

    Args:
        path: of the browser, from `browser_path`.
        address: base URL of the server.
    """
    async with _shared_calls(path) as calls:
        looks = calls.iterate("looks", address, SHOW_DEADLINE)
        try:
            yield Window(looks)
        finally:
            with contextlib.suppress(RemoteError):
                await looks.aclose()


class _Keeper:
    """The process of an event loop's one browser, for as long as somebody uses it: to start one costs a second."""

    def __init__(self, path: str) -> None:
        self.users = 0
        self._path = path
        self._stack = contextlib.AsyncExitStack()
        self.started = asyncio.ensure_future(self._start())

    async def _start(self) -> Calls:
        here, there = socket.socketpair()
        with there:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", __name__, str(there.fileno()), self._path),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                pass_fds=[there.fileno()],
            )
        self._stack.push_async_callback(_end, process)
        return await self._stack.enter_async_context(Calls(here))

    async def stop(self) -> None:
        await asyncio.wait([self.started])
        await self._stack.aclose()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Wait until a process has noticed that nobody asks it any more."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_DEADLINE):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


_keepers: dict[asyncio.AbstractEventLoop, _Keeper] = {}


@asynccontextmanager
async def _shared_calls(path: str) -> AsyncIterator[Calls]:
    loop = asyncio.get_running_loop()
    keeper = _keepers.get(loop) or _Keeper(path)
    _keepers[loop] = keeper
    keeper.users += 1
    try:
        yield await asyncio.shield(keeper.started)
    finally:
        keeper.users -= 1
        if not keeper.users:
            del _keepers[loop]
            await keeper.stop()


# In the process of the browser.


async def looks_at(browser: Browser, address: str, deadline: float) -> AsyncIterator[dict[str, Any]]:
    """Open the page of a server; yield what it shows, each time that is asked for.

    Args:
        browser: one that runs.
        address: base URL of the server.
        deadline: seconds for the page to load, and for each look.

    Raises:
        Failed: the page does not load or react.
    """
    from playwright.async_api import Error

    outside: list[str] = []
    sockets: list[str] = []
    errors: list[str] = []

    def note(url: str) -> None:
        there = urlsplit(url)
        if there.scheme in ("ws", "wss") and there.netloc == here:
            sockets.append(there.path)
        elif there.scheme not in ("data", "blob") and there.netloc != here:
            outside.append(url)

    here = urlsplit(address).netloc
    async with await browser.new_context(
        service_workers="block", proxy={"server": NOWHERE, "bypass": here}
    ) as context:
        page = await context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: note(request.url))
        page.on("websocket", lambda opened: note(opened.url))
        sent = "Sent GET / from a browser"
        try:
            await page.goto(f"{address}/", wait_until="domcontentloaded", timeout=1000 * deadline)
            while True:
                async with asyncio.timeout(deadline):
                    seen = await page.evaluate(LOOK, SEEN_LENGTH)
                yield {**seen, "outside": outside[:9], "sockets": sockets[:9], "errors": errors[:9]}
        except Error as fault:
            raise Failed(f"{sent}; got {shown(fault.message)}; expected a page that shows the board.") from None
        except TimeoutError:
            raise Failed(
                f"{sent}; got a page that does not react for {deadline:g} seconds; expected a page that "
                "shows the board: does its program loop for ever?"
            ) from None


async def main(sock: socket.socket, path: str) -> None:
    """Start a browser, and look at pages in it until nobody asks any more."""
    from playwright.async_api import async_playwright

    arguments = ["--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    # Chromium's own sandbox does not work for root.
    not_root = os.geteuid() != 0
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=arguments, chromium_sandbox=not_root, timeout=1000 * START_DEADLINE
        )
        await answer_calls({"looks": partial(looks_at, browser)}, sock)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]))
