"""A page of one of the notebook's servers, shown in JupyterLab by `wirelab.live.page`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from page_notebook import PAGE, SERVE, STOP, write_notebook

if TYPE_CHECKING:
    from jupyterlab_driver import Notebook
    from playwright.sync_api import FrameLocator

SERVE_CELL, PAGE_CELL, STOP_CELL = range(3)


class PageInNotebook:
    """A notebook whose server runs, and whose page is about to be shown."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.page = notebook.page
        notebook.run_cell(SERVE_CELL)
        self.base = notebook.outputs[SERVE_CELL].strip()

    def call(self, method: str, path: str, **body: str) -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.request(method, self.base + path, json=body, timeout=10).raise_for_status()

    @property
    def board(self) -> FrameLocator:
        return self.page.frame_locator(".wirelab-page iframe")

    def wait_for_state(self, text: str) -> None:
        self.board.locator("#state", has_text=text).wait_for(timeout=20_000)


@pytest.fixture
def shown(open_notebook: Callable[..., Notebook], tmp_path: Path) -> PageInNotebook:
    return PageInNotebook(open_notebook(write_notebook(tmp_path / "page.ipynb", SERVE, PAGE, STOP)))


def test_page_is_live_in_the_notebook_and_goes_with_its_output(shown: PageInNotebook) -> None:
    shown.notebook.run_cell(PAGE_CELL)
    shown.wait_for_state("Live")
    assert shown.page.get_by_title("The shared board").count() == 1
    link = shown.page.get_by_role("link", name="Open this page in a tab of its own")
    assert link.get_attribute("href") == shown.base + "/"

    shown.call("POST", "/todos", task="From the kernel's side")
    shown.board.get_by_text("From the kernel's side", exact=True).wait_for()
    shown.board.get_by_label("New todo").fill("From the page")
    shown.board.get_by_label("New todo").press("Enter")
    shown.board.locator(".card", has_text="From the page").wait_for()

    shown.notebook.run_cell(PAGE_CELL)
    shown.wait_for_state("Live")
    assert shown.page.locator("iframe").count() == 1
    assert shown.board.locator("#people li").count() == 1
    shown.page.evaluate("() => { jupyterapp.commands.execute('notebook:clear-all-cell-outputs'); }")
    shown.page.locator("iframe").wait_for(state="detached")


def test_page_says_that_its_server_stopped(shown: PageInNotebook) -> None:
    shown.notebook.run_cell(PAGE_CELL)
    shown.wait_for_state("Live")
    shown.notebook.run_cell(STOP_CELL)
    shown.wait_for_state("Connection lost")


def test_tries_the_direct_way_then_the_proxy_and_says_when_neither_leads_there(shown: PageInNotebook) -> None:
    pytest.importorskip("jupyter_server_proxy", reason="needs the package jupyter-server-proxy")
    page = shown.page
    page.route(f"{shown.base}/**", lambda route: route.abort())
    page.route("**/proxy/**", lambda route: route.fulfill(status=404))
    shown.notebook.run_cell(PAGE_CELL)
    notice = page.locator(".wirelab-page .notice", has_text="install jupyter-server-proxy there")
    notice.wait_for()
    assert shown.base in notice.inner_text()

    page.unroute("**/proxy/**")
    page.get_by_role("button", name="Try again").click()
    shown.wait_for_state("Live")
    port = shown.base.rpartition(":")[2]
    source = page.locator(".wirelab-page iframe").get_attribute("src")
    assert source is not None
    assert source.endswith(f"/proxy/{port}/")
    shown.call("POST", "/todos", task="Through the proxy")
    shown.board.get_by_text("Through the proxy", exact=True).wait_for()
