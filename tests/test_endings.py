"""The end of a connection is told as it was: to the server that waits for it, to the client, and on the wire."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection

from wirelab import Link, serve
from wirelab.endings import Ending, Host, ending_at, reception, table


async def ends(websocket: ServerConnection) -> None:
    match websocket.request and websocket.request.path:
        case "/abort":
            websocket.transport.abort()
        case "/stay":
            await websocket.recv()
        case str(path):
            await websocket.close(int(path[1:]))


@pytest.mark.parametrize(
    ("path", "what", "ending"),
    [
        ("/1000", {}, Ending("1000", "ends quietly", "close frame: code 1000")),
        ("/4008", {}, Ending("4008", "raises", "close frame: code 4008")),
        ("/abort", {}, Ending("1006", "raises", "server closes its side")),
        ("/stay", {"say": "hello"}, Ending("1000", "ends quietly", "close frame: code 1000")),
        ("/stay", {"fault": Link.reset}, Ending("1006", "raises", "the link resets the connection")),
        ("/stay", {"fault": Link.freeze}, Ending("1006", "raises", "nothing")),
    ],
)
def test_an_ending_is_told_by_code_by_reading_and_by_wire(path, what, ending):
    with serve(ends) as server:
        assert asyncio.run(ending_at(server, path, **what)) == ending


def test_a_refused_handshake_is_an_ending_too():
    async def refuse(websocket: WebSocket) -> None:
        await websocket.close()

    with serve(Starlette(routes=[WebSocketRoute("/", refuse)])) as server:
        found = asyncio.run(ending_at(server, "/"))
    assert found == Ending("HTTP 403", "never begins", "HTTP/1.1 403 Forbidden")


def test_a_table_has_a_line_for_each_ending():
    head, line = table({"a break": Ending("1006", "raises", "nothing")}).splitlines()
    assert head.split() == ["code", "async", "for", "on", "the", "wire"]
    assert line.split() == ["a", "break", "1006", "raises", "nothing"]
    assert head.index("on the wire") == line.index("nothing")


def test_a_reception_is_a_code_or_none():
    async def picky(websocket: ServerConnection) -> None:
        if await websocket.recv() + await websocket.recv() != "ab":
            await websocket.close(1008)
        await websocket.wait_closed()

    async def run() -> list[str]:
        with serve(picky) as server:
            said = ("a", "c"), ("a", "b")
            return [await reception(server.ws, *messages, seconds=0.3) for messages in said]

    assert asyncio.run(run()) == ["closed with 1008", "still connected"]


def test_a_host_notices_who_leaves_and_nobody_else():
    async def run() -> tuple[float | None, float | None]:
        host = Host()
        with serve(host.welcome, ping_interval=None) as server:
            async with connect(server.ws, proxy=None) as websocket:
                assert await websocket.recv() == "welcome"
                still_there = await host.notices_within(0.1)
            return still_there, await host.notices_within(5)

    still_there, left = asyncio.run(run())
    assert still_there is None
    assert left is not None
