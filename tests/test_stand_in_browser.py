"""The stand-in for a browser keeps a browser's rules; `tests/browser/test_hijacking.py` asks a real one."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx2
import pytest
import trustme
from fastapi import FastAPI, Request, Response, WebSocket
from starlette.middleware.cors import CORSMiddleware

from wirelab import Server, serve
from wirelab.outcomes import outcome_of
from wirelab.stand_in_browser import NotAllowedToRead, StandInBrowser, origin_of

FRIEND = "http://friend.example"


def house() -> FastAPI:
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=[FRIEND], allow_credentials=True)

    @app.post("/login")
    def log_in(response: Response) -> None:
        response.set_cookie("session", "ada", httponly=True, samesite="strict")
        response.set_cookie("sealed", "ada", secure=True)

    @app.get("/who")
    def who(request: Request) -> dict[str, str]:
        return request.cookies

    @app.websocket("/who")
    async def who_live(websocket: WebSocket) -> None:
        await websocket.accept(next(iter(websocket.scope["subprotocols"]), None))
        seen = (websocket.headers.get("origin"), websocket.cookies.get("session"))
        await websocket.send_json([*seen, await websocket.receive_text()])
        await websocket.close()

    @app.websocket("/silent")
    async def silent(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4000)

    return app


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(house(), name="house") as running:
        yield running


@pytest.fixture
def browser(server: Server) -> Iterator[StandInBrowser]:
    with StandInBrowser(ssl.create_default_context()) as one:
        one.page(server.http + "/start").fetch(server.http + "/login", "POST")
        yield one


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://a.example:8000/page?x=1") == "https://a.example:8000"


def test_a_cookie_goes_to_every_port_of_its_host_and_to_no_other_host(
    browser: StandInBrowser, server: Server
) -> None:
    assert browser.cookie_for(server.http + "/who") == browser.cookie_for(server.ws + "/who") == "session=ada"
    assert browser.cookie_for("http://127.0.0.1:9/") == "session=ada"
    assert browser.cookie_for("http://other.example/") == ""


def test_a_secure_cookie_goes_over_tls_alone(browser: StandInBrowser) -> None:
    assert "sealed" in browser.cookie_for("wss://127.0.0.1/")
    assert "sealed" not in browser.cookie_for("ws://127.0.0.1/")


def test_the_own_page_reads_its_answer(browser: StandInBrowser, server: Server) -> None:
    assert "ada" in browser.page(server.http).fetch(server.http + "/who")


@pytest.mark.parametrize(("origin", "reads"), [("http://evil.example", False), (FRIEND, True)])
def test_another_page_reads_an_answer_only_if_it_is_allowed_to(
    browser: StandInBrowser, server: Server, origin: str, reads: bool
) -> None:
    page = browser.page(origin + "/page")
    if reads:
        assert "ada" in page.fetch(server.http + "/who")
    else:
        with pytest.raises(NotAllowedToRead, match="200"):
            page.fetch(server.http + "/who")


def test_a_websocket_tells_the_pages_origin_and_brings_the_cookie(browser: StandInBrowser, server: Server) -> None:
    heard = browser.page("http://evil.example/page").hear(server.ws + "/who", say="hello")
    assert heard == '["http://evil.example","ada","hello"]'


def test_a_websocket_offers_subprotocols(browser: StandInBrowser, server: Server) -> None:
    with browser.page(server.http).websocket(server.ws + "/who", ["one", "two"]) as websocket:
        assert websocket.subprotocol == "one"


def test_outcomes_are_told_in_words(browser: StandInBrowser, server: Server) -> None:
    evil = browser.page("http://evil.example")
    assert outcome_of(lambda: 200) == "200"
    assert outcome_of(lambda: evil.fetch(server.http + "/who")) == "kept back by the browser"
    assert outcome_of(lambda: evil.hear(server.ws + "/nowhere")) == "refused with 403"
    assert outcome_of(lambda: evil.hear(server.ws + "/silent")) == "closed with 4000"


def test_a_server_of_an_unknown_authority_is_not_believed_and_a_missing_one_is_an_error() -> None:
    issued = trustme.CA().issue_cert("127.0.0.1")
    with httpx2.Client(trust_env=False) as web:
        with (
            issued.private_key_and_cert_chain_pem.tempfile() as pem,
            serve("wirelab.apps.echo:app", name="impostor", ssl_certfile=pem) as impostor,
        ):
            assert outcome_of(lambda: web.get(impostor.http + "/echo")) == "not believed"
        with pytest.raises(httpx2.ConnectError):
            outcome_of(lambda: web.get(impostor.http + "/echo"))
