"""Rude clients, against a server that takes everything and one that has limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from websockets.asyncio.server import ServerConnection

from wirelab import Link, Server, rude_clients, serve


async def lengths(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(str(len(message)))


async def three_only(websocket: ServerConnection) -> None:
    for _ in range(3):
        await websocket.send(str(len(await websocket.recv())))
    await websocket.close(1008)


@pytest.fixture(scope="module")
def trusting() -> Iterator[Server]:
    with serve(lengths, name="trusting", max_size=None, open_timeout=None) as server:
        yield server
        assert server.errors == []


@pytest.fixture(scope="module")
def bounded() -> Iterator[Server]:
    with serve(three_only, name="bounded", max_size=4096, open_timeout=0.3, close_timeout=0.3) as server:
        yield server
        assert server.errors == []


def test_a_trusting_server_takes_it_all(trusting: Server) -> None:
    assert rude_clients.one_message(trusting.ws, rude_clients.LONG) == "taken"
    assert rude_clients.flood(trusting.ws) == "all taken"
    assert rude_clients.half_a_handshake(trusting.ws, 0.6) == "still open"


def test_a_bomb_is_small_on_the_wire(trusting: Server) -> None:
    with Link(trusting) as link:
        assert rude_clients.one_message(link.ws, rude_clients.BOMB, compressed=True) == "taken"
        assert link.sent < rude_clients.BOMB / 500


@pytest.mark.parametrize("compressed", [False, True])
def test_a_size_limit_holds_for_what_is_long_only_when_inflated_too(bounded: Server, compressed: bool) -> None:
    size = rude_clients.BOMB if compressed else rude_clients.LONG
    assert rude_clients.one_message(bounded.ws, size, compressed=compressed) == "closed with 1009"


def test_other_limits_end_a_flood_and_half_a_handshake(bounded: Server) -> None:
    assert rude_clients.flood(bounded.ws) == "closed with 1008 after 3"
    # The deadline of the server is a small part of this.
    assert rude_clients.half_a_handshake(bounded.ws, 10) == "closed"


def test_an_answer_that_is_no_length_is_an_error() -> None:
    async def parrot(websocket: ServerConnection) -> None:
        await websocket.send(await websocket.recv())

    with serve(parrot) as server, pytest.raises(ValueError, match="not with its length"):
        rude_clients.one_message(server.ws, 10)


@pytest.mark.parametrize("uri", ["ws://example.com/", "ws://localhost:8000"])
def test_they_go_to_this_machine_alone(uri: str) -> None:
    with pytest.raises(ValueError, match="your own machine"):
        rude_clients.flood(uri)
    with pytest.raises(ValueError, match="your own machine"):
        rude_clients.half_a_handshake(uri, 1)
