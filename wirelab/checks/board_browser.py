"""A page of a board in a browser, where there is one: what it shows, and how it takes a broken connection.

The browser is a Chromium or Chrome on the search path, driven by the package playwright; neither is needed. The
page is a stranger's: it gets nothing but the one server it comes from, and every wait has an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from wirelab.checks import Failed
from wirelab.checks.exchange import shown

if TYPE_CHECKING:
    from playwright.async_api import Page, Route, WebSocketRoute

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Seconds until the browser has started; until a page shows what it should, on a machine that may be busy.
START_DEADLINE, SHOW_DEADLINE = 20.0, 6.0
# Everything of the page that a check looks at, in one look.
LOOK = """() => {
    const todos = document.querySelector("#todos");
    const state = document.querySelector("[role=status]");
    return {
        found: Boolean(todos),
        todos: todos ? todos.textContent : "",
        state: state && state.textContent.trim(),
        marked: todos ? todos.querySelectorAll("mark").length : 0,
    };
}"""


def browser_path() -> str | None:
    """Where a browser is that can be driven from here; None if there is none."""
    if importlib.util.find_spec("playwright") is None:
        return None
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Window:
    """A page that is open in the browser.

    Attributes:
        outside: what the page asked for that is not on its server; nothing of it was let through.
        sockets: the paths of the WebSockets that it opened.
        errors: what its program raised.
    """

    def __init__(self, page: Page) -> None:
        """Use `open_window`."""
        self._page = page
        self.outside: list[str] = []
        self.sockets: list[str] = []
        self.errors: list[str] = []

    async def look(self) -> dict[str, Any]:
        """What the page shows now.

        Returns:
            ``found``: whether there is an element #todos; ``todos``: its text; ``marked``: how many mark elements
            are in it; ``state``: the text of the element with the role status, None if there is none.

        Raises:
            Failed: the page does not react.
        """
        try:
            async with asyncio.timeout(SHOW_DEADLINE):
                seen: dict[str, Any] = await self._page.evaluate(LOOK)
        except Exception as fault:
            if isinstance(fault, TimeoutError):
                why = f"a page that does not react for {SHOW_DEADLINE:g} seconds: does its program loop for ever?"
            else:
                why = f"a page that cannot be looked at ({shown(str(fault))})"
            raise Failed(f"Sent GET / from a browser; got {why}; expected a page that shows the board.") from None
        return seen

    @property
    def complaint(self) -> str:
        """What went wrong in the page, for the end of a message; empty if nothing is known."""
        if self.outside:
            return f" (the page asked for {shown(self.outside[0])}, which is not on its server)"
        return f" (the page's program raised {shown(self.errors[0])})" if self.errors else ""


@asynccontextmanager
async def open_window(path: str, address: str) -> AsyncIterator[Window]:
    """Open an address in a browser that reaches that server and nothing else.

    Args:
        path: of the browser, from `browser_path`.
        address: base URL of the server.

    Raises:
        Failed: the page did not load.
    """
    from playwright.async_api import Error, async_playwright

    arguments = ["--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    async with contextlib.AsyncExitStack() as stack:
        async with asyncio.timeout(START_DEADLINE):
            playwright = await stack.enter_async_context(async_playwright())
            # Chromium's own sandbox does not work for root.
            browser = await playwright.chromium.launch(
                executable_path=path, args=arguments, chromium_sandbox=_is_not_root()
            )
        stack.push_async_callback(browser.close)
        page = await (await browser.new_context(service_workers="block")).new_page()
        window = Window(page)
        socket_address = address.replace("http", "ws", 1)

        async def request(route: Route) -> None:
            url = route.request.url
            if url.startswith((f"{address}/", "data:", "blob:")):
                await route.continue_()
            else:
                window.outside.append(url)
                await route.abort()

        async def socket(route: WebSocketRoute) -> None:
            if route.url.startswith(f"{socket_address}/"):
                window.sockets.append(route.url.removeprefix(socket_address))
                route.connect_to_server()
            else:
                window.outside.append(route.url)
                await route.close()

        page.on("pageerror", lambda error: window.errors.append(str(error)))
        await page.route("**/*", request)
        await page.route_web_socket("**/*", socket)
        try:
            await page.goto(f"{address}/", wait_until="domcontentloaded", timeout=1000 * SHOW_DEADLINE)
        except Error as fault:
            raise Failed(f"Sent GET / from a browser; got {shown(fault.message)}; expected a page.") from None
        yield window


def _is_not_root() -> bool:
    return not hasattr(os, "geteuid") or os.geteuid() != 0
