"""The board's page in a browser: live, by keyboard, cut off, small, and behind Jupyter's proxy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from wirelab import Link, Server, serve
from wirelab.apps.board import create_app

if TYPE_CHECKING:
    from jupyterlab_driver import Lab
    from playwright.sync_api import Browser, Page

    OpenPage = Callable[..., Page]

ARTEFACTS = Path(__file__).parents[2] / "test-artefacts"
# Seconds, for tests that wait for silence to be noticed.
SHORT_HEARTBEAT = 0.3
# Milliseconds, on a machine that may be busy.
DEADLINE = 20_000
FOCUSED = "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"


@pytest.fixture
def board() -> Iterator[Server]:
    with serve(create_app(), name="board") as server:
        yield server


@pytest.fixture
def watchful_board() -> Iterator[Server]:
    with serve(create_app(SHORT_HEARTBEAT), name="board") as server:
        yield server


@contextmanager
def pictured(page: Page, name: str) -> Iterator[None]:
    """Leave a picture of the page in ``test-artefacts/`` if the block fails."""
    try:
        yield
    except BaseException:
        ARTEFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)
        raise


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open the page at an address in a browser profile of its own, and wait until it is live."""
    faults: list[str] = []
    with ExitStack() as stack:

        def open_one(address: str, **options: Any) -> Page:
            page = stack.enter_context(browser.new_context(**options)).new_page()
            page.set_default_timeout(DEADLINE)
            page.on("pageerror", lambda fault: faults.append(str(fault)))
            page.goto(address)
            until(page, "live")
            return page

        yield open_one
    assert not faults


def until(page: Page, state: str) -> None:
    page.wait_for_selector(f"body[data-state={state}]")


def call(server: Server, method: str, path: str, **body: str) -> Any:
    answer = requests.request(method, server.http + path, json=body or None, timeout=10)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def column(page: Page, status: str) -> Any:
    return page.get_by_role("region", name=re.compile(f"^{status}"))


def test_change_in_one_page_shows_in_the_other(board: Server, open_page: OpenPage) -> None:
    one, other = open_page(f"{board.http}/"), open_page(f"{board.http}/")
    with pictured(one, "board-one"), pictured(other, "board-other"):
        one.get_by_label("New todo").fill("Water <b>the</b> fern")
        one.get_by_role("button", name="Add").click()
        column(other, "Pending").get_by_text("Water <b>the</b> fern").wait_for()
        assert one.get_by_label("New todo").input_value() == ""
        other.get_by_label("Status of Water <b>the</b> fern").select_option("In progress")
        column(one, "In progress").get_by_text("Water <b>the</b> fern").wait_for()
        one.get_by_label("Edit Water <b>the</b> fern").click()
        one.get_by_label("New text for Water <b>the</b> fern").fill("Water the kite")
        one.get_by_role("button", name="Save").click()
        other.get_by_label("Delete Water the kite").click()
        one.get_by_label("Delete Water the kite").wait_for(state="detached")
        happened = one.get_by_role("log").get_by_role("listitem").all_inner_texts()
        assert [re.sub(r"^[\d:]+ ([AP]M )?", "", line) for line in happened] == [
            "Added: Water <b>the</b> fern",
            "In progress: Water <b>the</b> fern",
            "Changed: Water <b>the</b> fern is now Water the kite",
            "Deleted: Water the kite",
        ]

        one.get_by_label("Your name").fill("Ada")
        one.get_by_role("button", name="Change").click()
        other.locator("#people").get_by_text("Ada", exact=True).wait_for()
        one.context.close()
        other.locator("#people").get_by_text("Ada", exact=True).wait_for(state="detached")


@pytest.mark.parametrize("fault", ["reset", "freeze"])
def test_says_since_when_it_has_heard_nothing_and_catches_up(
    fault: str, watchful_board: Server, open_page: OpenPage
) -> None:
    with Link(watchful_board) as link:
        page = open_page(f"{link.http}/")
        with pictured(page, f"board-{fault}"):
            if fault == "reset":
                link.refuse()
            getattr(link, fault)()
            until(page, "lost")
            said = page.get_by_role("status").inner_text()
            assert re.fullmatch(r"Connection lost\. Nothing heard since \d.*\.", said)
            call(watchful_board, "POST", "/todos", task="Added meanwhile")
            call(watchful_board, "DELETE", "/todos/1")
            page.wait_for_function("() => /^Last heard [1-9]/.test(document.querySelector('#since').textContent)")
            assert page.get_by_role("status").inner_text() == said
            assert page.get_by_text("Learn REST").is_visible()
            if fault == "reset":
                page.get_by_label("New todo").fill("Not now")
                page.get_by_label("New todo").press("Enter")
                page.get_by_role("alert").get_by_text("Not saved. The server does not answer.").wait_for()
                assert page.get_by_label("New todo").input_value() == "Not now"
            try_now = page.get_by_role("button", name="Try now")
            try_now.press("Enter")
            assert page.get_by_role("status").inner_text() == said
            (link.accept if fault == "reset" else link.thaw)()
            until(page, "live")
            page.get_by_text("Added meanwhile").wait_for()
            page.get_by_text("Learn REST").wait_for(state="detached")
            assert page.get_by_role("status").inner_text() == "Live"
            # The button has gone, and the focus that was on it has not got lost.
            assert try_now.is_hidden()
            assert page.evaluate("() => document.activeElement.id") == "task"


def test_never_says_live_without_a_connection(board: Server, open_page: OpenPage) -> None:
    page, here = open_page(f"{board.http}/"), call(board, "GET", "/board")
    sockets: list[Any] = []
    position = json.dumps({"epoch": here["epoch"], "seq": here["seq"], "people": [], "heartbeat": 60})
    change = json.dumps({"epoch": here["epoch"], "seq": here["seq"] + 2, "id": 1, "todo": None})

    def answer(socket: Any) -> None:
        sockets.append(socket)
        if len(sockets) == 1:
            socket.send(position)

    def fail(route: Any) -> None:
        # While the snapshot is asked for in vain, a message comes that would be no news.
        sockets[0].send(position)
        route.abort()

    page.route_web_socket("**/updates", answer)
    page.reload()
    until(page, "live")
    with pictured(page, "board-no-snapshot"):
        page.route("**/board", fail)
        page.evaluate(
            """() => {
                window.said = [];
                new MutationObserver((changes) => changes.forEach((change) =>
                    window.said.push(...[...change.addedNodes].map((node) => node.textContent)))
                ).observe(document.getElementById("state"), { childList: true });
            }"""
        )
        sockets[0].send(change)  # after a gap
        page.wait_for_function("() => window.said.some((text) => text.startsWith('Connection lost.'))")
        page.wait_for_function("() => !document.getElementById('since').textContent.includes('next try')")
        behind, lost = page.evaluate("() => window.said")
        assert behind == "Catching up"
        assert lost.startswith("Connection lost.")


def test_focus_goes_on_to_a_neighbour_that_is_being_edited(board: Server, open_page: OpenPage) -> None:
    call(board, "POST", "/todos", task="Tidy up")
    page = open_page(f"{board.http}/")
    with pictured(page, "board-focus"):
        page.get_by_label("Edit Put both together").click()
        page.get_by_label("Delete Tidy up").press("Enter")
        page.get_by_label("Delete Tidy up").wait_for(state="detached")
        assert page.evaluate(FOCUSED) == "New text for Put both together"


def test_server_that_starts_anew_is_another_board(board: Server, open_page: OpenPage) -> None:
    page = open_page(f"{board.http}/")
    with pictured(page, "board-restart"):
        call(board, "POST", "/todos", task="Of the old board")
        page.get_by_label("Delete Of the old board").wait_for()
        port = board.port
        board.stop()
        until(page, "lost")
        with serve(create_app(), name="board", port=port):
            until(page, "live")
            page.get_by_label("Delete Of the old board").wait_for(state="detached")
            page.get_by_role("log").get_by_text("The server has started anew").wait_for()


def test_keyboard_alone_will_do(board: Server, open_page: OpenPage) -> None:
    page = open_page(f"{board.http}/")
    keys = page.keyboard

    def tab_to(name: str) -> None:
        for _ in range(40):
            if page.evaluate(FOCUSED) == name:
                return
            keys.press("Tab")
        raise AssertionError(f"Tab does not lead to {name!r}")

    with pictured(page, "board-keyboard"):
        keys.press("Tab")
        assert page.evaluate("() => document.activeElement.id") == "task"
        keys.type("Tidy up")
        keys.press("Enter")
        column(page, "Pending").get_by_text("Tidy up").wait_for()
        tab_to("Status of Tidy up")
        keys.press("ArrowDown")
        column(page, "In progress").get_by_text("Tidy up").wait_for()
        assert page.evaluate(FOCUSED) == "Status of Tidy up"
        keys.press("Tab")
        assert page.evaluate(FOCUSED) == "Edit Tidy up"
        keys.press("Enter")
        keys.type(" no more")
        keys.press("Escape")
        assert page.evaluate(FOCUSED) == "Edit Tidy up"
        keys.press("Enter")
        keys.press("ControlOrMeta+a")
        keys.type("Rest")
        keys.press("Enter")
        page.get_by_label("Edit Rest").wait_for()
        page.wait_for_function(f"() => ({FOCUSED})() === 'Edit Rest'")
        keys.press("Tab")
        keys.press("Enter")
        page.get_by_label("Delete Rest").wait_for(state="detached")
        assert page.evaluate(FOCUSED) == "Delete Learn WebSockets"
        assert page.get_by_role("alert").inner_text() == ""


def test_every_control_has_a_name_and_little_is_read_out(board: Server, open_page: OpenPage) -> None:
    page = open_page(f"{board.http}/")
    with pictured(page, "board-names"):
        controls = page.locator("main, aside, header").locator("button, input, select")
        names = page.evaluate(
            """() => [...document.querySelectorAll("button, input, select")].map((control) =>
                control.ariaLabel || control.labels?.[0]?.textContent || control.textContent.trim())"""
        )
        assert len(names) == controls.count() > 10
        assert all(names)
        live = page.locator("[aria-live], [role=status], [role=alert], [role=log], output")
        assert {live.nth(n).get_attribute("id") for n in range(live.count())} == {"state", "problem", "log"}
        changes = page.evaluate(
            """() => new Promise((resolve) => {
                const seen = { state: 0, since: 0 };
                for (const id in seen) {
                    new MutationObserver(() => (seen[id] += 1)).observe(
                        document.getElementById(id), { childList: true, characterData: true, subtree: true });
                }
                setTimeout(() => resolve(seen), 1200);
            })"""
        )
        assert changes["state"] == 0
        assert changes["since"] > 0


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_sticks_out(width: int, board: Server, open_page: OpenPage) -> None:
    call(board, "POST", "/todos", task="Unbreakable" * 18)
    page = open_page(f"{board.http}/", viewport={"width": width, "height": 800})
    with pictured(page, f"board-{width}"):
        page.get_by_label(re.compile("^Edit Unbreakable")).click()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_page_works_behind_jupyter_server_proxy(board: Server, lab: Lab, open_page: OpenPage) -> None:
    pytest.importorskip("jupyter_server_proxy", reason="needs the package jupyter-server-proxy")
    page = open_page(f"{lab.url}proxy/{board.port}/?token={lab.token}")
    with pictured(page, "board-proxy"):
        call(board, "POST", "/todos", task="From outside")
        page.get_by_label("Status of From outside").select_option("Done")
        column(page, "Done").get_by_text("From outside").wait_for()
        assert call(board, "GET", "/todos/4")["status"] == "Done"
