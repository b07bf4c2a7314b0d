"""The article's clients as a notebook calls them, against both versions of the servers, and against bad ones."""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedError

from wirelab import serve
from wirelab.apps import price_client, prices, prices_mended, todo_client, todo_client_mended, todos, todos_mended

CLIENTS = [pytest.param(todo_client, id="article"), pytest.param(todo_client_mended, id="mended")]
TODOS = [pytest.param(todos, id="article-server"), pytest.param(todos_mended, id="mended-server")]
PRICES = [pytest.param(prices, id="article-server"), pytest.param(prices_mended, id="mended-server")]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a client's main() as a shell would; return exit status, output and errors."""

    def run_main(client: ModuleType, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [client.__name__, *arguments])
        return client.main(), *capsys.readouterr()

    return run_main


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that refuses connections: its port is taken, but nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


# The todo client


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("version", TODOS)
def test_the_tour_prints_each_step(client: ModuleType, version: ModuleType, run: Run) -> None:
    with serve(version.create_app()) as server:
        status, printed, errors = run(client, server.http)
        assert (status, errors, server.errors) == (0, "", [])
    created, with_it, one, updated, _, without_it = printed.splitlines()
    assert created == "Created: {'id': 3, 'task': 'Water the plants', 'status': 'Pending'}"
    assert one.removeprefix("One:     ") == created.removeprefix("Created: ")
    assert updated == "Updated: {'id': 3, 'task': 'Water the plants', 'status': 'Done'}"
    assert (with_it.count("'id'"), without_it.count("'id'")) == (3, 2)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_todo_client_without_a_server_says_so(client: ModuleType, nobody: str, run: Run) -> None:
    expected = f"No todo service answers at http://{nobody}: is it running?\n"
    assert run(client, f"http://{nobody}") == (1, "", expected)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("address", ["127.0.0.1:5000", "localhost:5000", "//127.0.0.1:5000", "http://"])
def test_a_todo_client_asks_for_the_scheme_of_an_address(client: ModuleType, address: str, run: Run) -> None:
    expected = f"{address!r} is no address of a service: write http:// before it.\n"
    assert run(client, address) == (1, "", expected)


def test_the_article_s_client_connects_for_each_request_and_the_mended_one_once() -> None:
    assert [connections_of(client) for client in (todo_client, todo_client_mended)] == [6, 1]


def connections_of(client: ModuleType) -> int:
    service, peers = todos.create_app(), set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            peers.add(scope["client"])
        await service(scope, receive, send)

    with serve(app) as server:
        client.tour(server.http)
    return len(peers)


def test_the_article_s_client_believes_a_refusal_and_the_mended_one_reports_it(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    app = FastAPI()

    @app.post("/todos")
    def out_of_order() -> JSONResponse:
        return JSONResponse({"detail": "out of order"}, 503)

    with serve(app) as server:
        with pytest.raises(KeyError, match="id"):
            todo_client.tour(server.http)
        assert capsys.readouterr().out.startswith("Created: {'detail': 'out of order'}\n")
        with pytest.raises(requests.HTTPError, match="503"):
            todo_client_mended.tour(server.http)
        status, printed, errors = run(todo_client_mended, server.http)
    assert (status, printed) == (1, "")
    assert errors.startswith("The todo service refused: 503 ")


def test_the_article_s_client_waits_for_ever_and_the_mended_one_gives_up(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(todo_client_mended, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor() as pool:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        article = pool.submit(todo_client.tour, address)
        connection, _ = silent.accept()
        status, _, errors = run(todo_client_mended, address)
        assert (status, errors) == (1, f"The todo service at {address} took more than 0.2 seconds.\n")
        assert not article.done()
        connection.close()
        assert isinstance(article.exception(10), requests.ConnectionError)


# The price client


def follow(version: ModuleType, **options: Any) -> bool:
    with serve(functools.partial(version.price_stream, interval=0.02), name="prices") as server:
        return asyncio.run(price_client.follow("ACME", server.ws, **options))


@pytest.mark.parametrize("version", PRICES)
def test_follow_stops_at_its_limit(version: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(version, limit=3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(95 <= float(line.removeprefix("ACME: ")) <= 105 for line in lines)


@pytest.mark.parametrize("version", PRICES)
def test_follow_reports_the_server_s_error(version: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert not follow(version, token="wrong")
    assert capsys.readouterr().out.startswith("Error: Invalid token")


def test_follow_ends_with_the_stream_and_raises_when_it_breaks() -> None:
    async def two_prices(websocket: ServerConnection, *, then: Callable[[ServerConnection], None]) -> None:
        await websocket.recv()
        for _ in range(2):
            await websocket.send('{"symbol": "ACME", "price": 100.0}')
        then(websocket)

    def cut(websocket: ServerConnection) -> None:
        websocket.transport.abort()

    stays_whole = functools.partial(two_prices, then=lambda websocket: None)
    with serve(stays_whole) as server:
        assert asyncio.run(price_client.follow("ACME", server.ws))
    breaks = functools.partial(two_prices, then=cut)
    with serve(breaks) as server, pytest.raises(ConnectionClosedError):
        asyncio.run(price_client.follow("ACME", server.ws))


def test_main_reports_refusal_breakage_and_absence_by_its_exit_status(nobody: str, run: Run) -> None:
    async def breaks(websocket: ServerConnection) -> None:
        websocket.transport.abort()

    with serve(prices.price_stream) as server:
        assert run(price_client, "ACME", "--uri", server.ws, "--limit", "1")[0] == 0
        refused = run(price_client, "ACME", "--uri", server.ws, "--token", "wrong")
        assert refused == (1, "Error: Invalid token or missing symbol\n", "")
    with serve(breaks) as server:
        status, _, errors = run(price_client, "ACME", "--uri", server.ws)
        assert (status, errors.startswith("The connection broke: ")) == (1, True)
    with serve(todos.create_app()) as server:
        expected = f"No price stream answers at {server.ws}: is it running?\n"
        assert run(price_client, "ACME", "--uri", server.ws) == (1, "", expected)
    expected = f"{nobody!r} is no address of a price stream: write ws:// before it.\n"
    assert run(price_client, "ACME", "--uri", nobody) == (1, "", expected)
    expected = f"No price stream answers at ws://{nobody}: is it running?\n"
    assert run(price_client, "ACME", "--uri", f"ws://{nobody}") == (1, "", expected)
