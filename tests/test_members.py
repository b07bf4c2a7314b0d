"""Members of rooms say what they have to say, hear what is said, and leave with a word."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from wirelab import Link, serve
from wirelab.members import Member, members_at, until, until_heard


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


def test_a_member_says_texts_and_objects_and_hears_the_answers():
    async def run() -> Member:
        with serve(echo) as server:
            async with members_at([server.ws]) as (member,):
                await member.say("hello", {"seq": 3})
                await until_heard([member], 2)
        return member

    member = asyncio.run(run())
    assert member.heard == ["hello", json.dumps({"seq": 3})]


def test_what_is_said_first_is_said_on_every_coming_in():
    async def count(websocket: ServerConnection) -> None:
        seq = int(await websocket.recv())
        await websocket.send(json.dumps({"seq": seq}))
        await websocket.wait_closed()

    async def run() -> Member:
        with serve(count) as server, Link(server) as link:
            async with members_at([link.ws], first=["7"], resume=True) as (member,):
                await until_heard([member], 1)
                link.reset()
                await until_heard([member], 2)
        return member

    member = asyncio.run(run())
    assert member.seqs == [7, 7]
    assert member.connections == 2


@pytest.mark.parametrize("resume", [False, True])
def test_members_close_their_connections_and_stay_away(resume: bool):
    codes: list[int | None] = []

    async def host(websocket: ServerConnection) -> None:
        try:
            await websocket.recv()
        except ConnectionClosed:
            codes.append(websocket.close_code)

    async def run() -> None:
        with serve(host) as server:
            async with members_at([server.ws] * 2, resume=resume):
                pass
            await until(lambda: len(codes) == 2)
            assert not server.errors

    asyncio.run(run())
    assert codes == [1000, 1000]


def test_waiting_for_what_does_not_come_ends():
    with pytest.raises(TimeoutError):
        asyncio.run(until(lambda: False, seconds=0.05))
