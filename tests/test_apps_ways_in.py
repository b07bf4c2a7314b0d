"""Six ways into a WebSocket: each lets in a token, and keeps out what is none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from wirelab import Server, serve
from wirelab.apps import ways_in

WAYS = ("header", "query", "cookie", "subprotocol", "first message", "ticket")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(ways_in.app, name="ways in") as running:
        yield running
        assert running.errors == []


@pytest.fixture(scope="module")
def web(server: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.http, trust_env=False, timeout=10) as client:
        yield client


def token(web: httpx2.Client, seconds: float = 60) -> str:
    return str(web.post("/token", params={"seconds": seconds}).json())


def ticket(web: httpx2.Client, shown: str) -> httpx2.Response:
    return web.post("/ticket", headers={"Authorization": f"Bearer {shown}"})


@contextmanager
def come_by(way: str, server: Server, secret: str) -> Iterator[ClientConnection]:
    options: dict[str, Any] = {
        "header": {"additional_headers": {"Authorization": f"Bearer {secret}"}},
        "cookie": {"additional_headers": {"Cookie": f"token={secret}"}},
        "subprotocol": {"subprotocols": ["prices", f"token.{secret}"]},
    }.get(way, {})
    query = {"query": f"?token={secret}", "ticket": f"?ticket={secret}"}.get(way, "")
    with connect(server.ws + "/prices" + query, proxy=None, close_timeout=1, **options) as websocket:
        if way == "first message":
            websocket.send(json.dumps({"token": secret}))
        yield websocket


@pytest.mark.parametrize("way", WAYS)
def test_a_token_is_let_in(server: Server, web: httpx2.Client, way: str) -> None:
    secret = ticket(web, token(web)).text if way == "ticket" else token(web)
    with come_by(way, server, secret) as websocket:
        assert json.loads(websocket.recv(5)).keys() == {"symbol", "price"}
        assert websocket.subprotocol == ("prices" if way == "subprotocol" else None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secret", ["a-guess", "an expired one"])
def test_what_is_none_is_kept_out(server: Server, web: httpx2.Client, way: str, secret: str) -> None:
    shown = token(web, -60) if secret == "an expired one" else secret
    if way == "first message":
        with come_by(way, server, shown) as websocket, pytest.raises(ConnectionClosed):
            websocket.recv(5)
        assert websocket.close_code == 1008
    else:
        with pytest.raises(InvalidStatus, match="403"), come_by(way, server, shown):
            pass


@pytest.mark.parametrize("message", ["", "no JSON", "[]", "{}", '{"token": 1}'])
def test_a_first_message_that_shows_nothing_closes(server: Server, message: str) -> None:
    with connect(server.ws + "/prices", proxy=None) as websocket:
        websocket.send(message)
        with pytest.raises(ConnectionClosed):
            websocket.recv(5)
    assert websocket.close_code == 1008


def test_silence_closes(server: Server) -> None:
    begun = time.monotonic()
    with connect(server.ws + "/prices", proxy=None) as websocket, pytest.raises(ConnectionClosed):
        websocket.recv(10)
    assert websocket.close_code == 1008
    assert time.monotonic() - begun > ways_in.FIRST_MESSAGE / 2


def test_tickets_that_nobody_uses_are_forgotten(web: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = token(web)
    monkeypatch.setattr(ways_in, "TICKET_SECONDS", -1)
    late = [ticket(web, shown).text for _ in range(3)]
    monkeypatch.undo()
    good = ticket(web, shown).text
    assert good in ways_in.tickets
    assert not any(bought in ways_in.tickets for bought in late)


def test_a_ticket_costs_a_token_and_is_good_once(server: Server, web: httpx2.Client) -> None:
    assert ticket(web, "a-guess").status_code == 401
    bought = ticket(web, token(web)).text
    with come_by("ticket", server, bought):
        pass
    with pytest.raises(InvalidStatus, match="403"), come_by("ticket", server, bought):
        pass
