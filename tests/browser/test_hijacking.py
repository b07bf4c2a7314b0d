"""A real browser and `StandInBrowser` do the same on a foreign page, so the attack of lesson 07 is a real one."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI, Request, Response, WebSocket
from starlette.middleware.cors import CORSMiddleware

from wirelab import Server, serve
from wirelab.outcomes import outcome_of
from wirelab.stand_in_browser import StandInBrowser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

FETCH = """async (url) => {
    try { return await (await fetch(url, {credentials: "include"})).text(); }
    catch { return "kept back by the browser"; }
}"""
HEAR = """(uri) => new Promise((told) => {
    const socket = new WebSocket(uri);
    socket.onmessage = (message) => told(message.data);
    socket.onerror = () => told("refused with 403");
})"""


def house(*, check: bool) -> FastAPI:
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["https://friend.example"], allow_credentials=True)

    @app.get("/")
    def page(response: Response) -> str:
        response.set_cookie("session", "ada", httponly=True, samesite="strict")
        return "a page"

    @app.get("/account")
    def account(request: Request) -> str:
        return request.cookies.get("session", "nobody")

    @app.websocket("/account")
    async def live(websocket: WebSocket) -> None:
        if check and websocket.headers.get("origin") != f"http://{websocket.headers['host']}":
            await websocket.close()
            return
        await websocket.accept()
        await websocket.send_text(websocket.cookies.get("session", "nobody"))
        await websocket.close()

    return app


@pytest.fixture(scope="module", params=[False, True], ids=["no check", "origin check"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(house(check=request.param), name=f"house, {request.param}") as running:
        yield running


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Server]:
    with serve("wirelab.apps.echo:app", name="elsewhere") as running:
        yield running


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[str], Page]]:
    with browser.new_context() as context:

        def visit(url: str) -> Page:
            page = context.new_page()
            page.goto(url)
            return page

        yield visit


def by_stand_in(server: Server, other: Server) -> dict[str, Any]:
    with StandInBrowser(ssl.create_default_context()) as stand_in:
        own, foreign = stand_in.page(server.http), stand_in.page(other.http)
        own.fetch(server.http + "/")
        return {
            name: (
                outcome_of(lambda page=page: page.fetch(server.http + "/account")),
                outcome_of(lambda page=page: page.hear(server.ws + "/account")),
            )
            for name, page in (("own", own), ("foreign", foreign))
        }


def test_a_foreign_page_reads_what_the_stand_in_says_it_reads(
    server: Server, elsewhere: Server, visit: Callable[[str], Page]
) -> None:
    pages = {"own": visit(server.http + "/"), "foreign": visit(elsewhere.http + "/echo")}
    seen = {
        name: (page.evaluate(FETCH, server.http + "/account"), page.evaluate(HEAR, server.ws + "/account"))
        for name, page in pages.items()
    }
    assert seen == by_stand_in(server, elsewhere)
    assert seen["own"] == ('"ada"', "ada")
    assert seen["foreign"][0] == "kept back by the browser"
    assert seen["foreign"][1] == ("refused with 403" if "True" in server.name else "ada")
