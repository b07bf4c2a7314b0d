"""What a client gets through a cut is counted truly: what came, what is missing, and what it was told of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from wirelab import Link, cuts, serve
from wirelab.cuts import Received, through_a_cut


def numbered(*numbers: int) -> Received:
    return Received([(0.1 * place, number) for place, number in enumerate(numbers)], [])


@pytest.mark.parametrize(
    ("received", "missed", "in_order"),
    [
        (numbered(), 0, True),
        (numbered(4, 5, 6), 0, True),
        (numbered(4, 8, 9), 3, True),
        (numbered(4, 5, 5), 0, False),
        (numbered(4, 6, 5), 0, False),
    ],
)
def test_it_counts_what_never_came(received, missed, in_order):
    assert (received.missed, received.in_order) == (missed, in_order)


def test_it_reads_on_through_a_cut(monkeypatch):
    for name, seconds in (("CUT", 0.5), ("AWAY", 0.2), ("READING", 3.0)):
        monkeypatch.setattr(cuts, name, seconds)
    visits = 0

    async def feed(websocket: ServerConnection) -> None:
        """Two updates for each visit, and on the second one a gap before them."""
        nonlocal visits
        visits += 1
        if visits == 2:
            await websocket.send(json.dumps({"type": "gap", "after": 2, "seq": 12}))
        for seq in (10 * visits - 9, 10 * visits - 8):
            await websocket.send(json.dumps({"type": "update", "seq": seq}))
        await websocket.wait_closed()

    async def client(uri: str) -> AsyncIterator[dict[str, Any]]:
        while True:
            try:
                async with connect(uri, proxy=None) as websocket:
                    async for message in websocket:
                        yield json.loads(message)
            except (OSError, ConnectionClosed):
                await asyncio.sleep(0.02)

    async def run() -> list[Received]:
        with serve(feed) as server, Link(server) as link:
            return await through_a_cut(link, client(link.ws))

    [received] = asyncio.run(run())
    assert [number for _, number in received.updates] == [1, 2, 11, 12]
    assert received.gaps == [10]
    assert received.missed == 8
    first, *_, last = (moment for moment, _ in received.updates)
    assert first < last
    assert last > 0.5
