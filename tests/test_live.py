"""The kernel's side of the live views; the page's side is tested in tests/browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from fastapi import FastAPI, Response

import wirelab.live
from wirelab import Server, serve
from wirelab.live import LOOPBACK_PAGE, Page, Race, allow_loopback_pages, page, race

STATIC = Path(wirelab.live.__file__).parent / "static"


def feed_app(status: int = 200) -> FastAPI:
    app = FastAPI()

    @app.get("/latest")
    async def latest() -> Response:
        return Response('{"seq": 1, "value": 2.5, "emitted_at": 3.0}' if status == 200 else None, status)

    return app


@pytest.fixture
def feed() -> Iterator[Server]:
    with serve(allow_loopback_pages(feed_app())) as server:
        yield server


def test_text_that_stays_in_the_notebook_is_the_same_in_every_run(feed: Server) -> None:
    first, _ = race(feed)._repr_mimebundle_()
    second, _ = race(feed, every=0.5)._repr_mimebundle_()
    assert first["text/plain"] == second["text/plain"]
    assert "JupyterLab" in first["text/plain"]
    assert str(feed.port) not in first["text/plain"]
    assert first["application/vnd.jupyter.widget-view+json"] != second["application/vnd.jupyter.widget-view+json"]


def test_page_is_told_where_to_look(feed: Server) -> None:
    state = race(feed, every=0.5, latest="/latest", stream="/live").get_state()
    told = {name: state[name] for name in ("_base", "_latest", "_stream", "every")}
    assert told == {"_base": feed.http, "_latest": "/latest", "_stream": "/live", "every": 0.5}


def test_a_feed_without_updates_yet_is_a_feed() -> None:
    with serve(allow_loopback_pages(feed_app(status=204))) as server:
        assert isinstance(race(server), Race)


def test_a_url_does_as_well_as_its_server(feed: Server) -> None:
    for show in (race, lambda server: page(server, title="A page")):
        assert show(feed.http).get_state()["_base"] == feed.http
        with pytest.raises(TypeError, match=r"Hand over a server, or its URL as in server\.http, not None"):
            show(None)


@pytest.mark.parametrize("every", [0.05, 0, -1, 6, float("nan"), "1", None])
def test_refuses_an_interval_out_of_range(feed: Server, every: float) -> None:
    with pytest.raises(ValueError, match=r"between 0\.1 and 5\.0 seconds"):
        race(feed, every=every)


def test_refuses_a_server_that_has_stopped(feed: Server) -> None:
    feed.stop()
    with pytest.raises(ValueError, match=r"start it again with serve"):
        race(feed)


def test_refuses_a_server_that_is_no_feed(feed: Server) -> None:
    with pytest.raises(ValueError, match=r"GET /newest was answered 404"):
        race(feed, latest="/newest")


def test_refuses_a_feed_that_the_browser_may_not_read() -> None:
    with serve(feed_app()) as server, pytest.raises(ValueError, match=r"serve allow_loopback_pages\(app\)"):
        race(server)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:8888", True),
        ("http://localhost:8889", True),
        ("https://localhost", True),
        ("http://[::1]:8888", True),
        ("https://example.org", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1.example.org:8888", False),
        ("http://127.0.0.1:8888.example.org", False),
        ("http://evil-localhost", False),
        ("http://127x0x0x1", False),
        ("null", False),
    ],
)
def test_only_pages_from_this_machine_may_read(feed: Server, origin: str, allowed: bool) -> None:
    answer = requests.get(feed.http + "/latest", headers={"Origin": origin}, timeout=10)
    assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert bool(LOOPBACK_PAGE.fullmatch(origin)) is allowed


def test_a_page_says_where_it_is_and_the_same_words_in_every_run(feed: Server) -> None:
    shown = page(feed, "/latest", title="The latest", height=300)
    assert isinstance(shown, Page)
    state = shown.get_state()
    assert {name: state[name] for name in ("_base", "_path", "_title", "_height")} == {
        "_base": feed.http,
        "_path": "/latest",
        "_title": "The latest",
        "_height": 300,
    }
    assert repr(shown) == "The latest, live: run this cell in JupyterLab to see it."
    feed.stop()
    with pytest.raises(ValueError, match=r"start it again with serve"):
        page(feed, title="The latest")


def test_page_needs_nothing_from_elsewhere() -> None:
    for path in STATIC.iterdir():
        assert not re.findall(r"https?://|\bimport\b|@import|url\(", path.read_text()), path.name
