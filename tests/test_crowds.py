"""A crowd's clients do what real ones do, and what a server holds for them is counted right."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

import pytest

from wirelab import Server, serve
from wirelab.crowds import Crowd, Footprint, Upkeep, footprint, for_each_client, growth, room_for, upkeep


@pytest.fixture(scope="module")
def hall() -> Iterator[Server]:
    with serve("wirelab.apps.hall:hall", process=True, ping_interval=0.1) as server:
        yield server


def test_all_hear_what_the_first_one_says_and_answer_pings(hall: Server) -> None:
    async def talk() -> tuple[int, int, int]:
        async with Crowd(hall.ws) as crowd:
            await crowd.grow(60)
            await asyncio.gather(crowd.heard(120), _said(crowd))
            async with asyncio.timeout(10):
                while crowd.pings < 120:  # where the first is not answered, there is no second
                    crowd.news.clear()
                    await crowd.news.wait()
            return len(crowd), crowd.messages, crowd.pings

    async def _said(crowd: Crowd) -> None:
        crowd.say("one")
        crowd.say("two")

    clients, messages, pings = asyncio.run(talk())
    assert (clients, messages) == (60, 120)
    assert pings >= 120
    assert not hall.errors


def test_growth_counts_one_handle_for_each_client(hall: Server) -> None:
    # So many, because the system counts processor time in steps of 10 ms, and opening takes some 0.15.
    seen = asyncio.run(growth(hall, [100, 400]))
    assert [step.clients for step in seen] == [1, 100, 400]
    assert for_each_client(seen, "handles").value == pytest.approx(1, abs=0.05)
    assert seen[-1].cpu > seen[0].cpu


def test_compression_is_agreed_on_where_it_is_offered(hall: Server) -> None:
    async def extensions(deflate: bool) -> bool:
        host, port = "127.0.0.1", hall.port
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(Crowd(hall.ws, deflate=deflate).opening)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return b"permessage-deflate" in head

    assert asyncio.run(extensions(True))
    assert not asyncio.run(extensions(False))


def test_upkeep_counts_messages_to_every_client(hall: Server) -> None:
    kept = asyncio.run(upkeep(hall, 20, 0.3, messages=5))
    assert kept.events >= 100
    assert kept.seconds >= 0.3


def test_a_server_that_refuses_is_named() -> None:
    async def knock(server: Server) -> None:
        async with Crowd(server.ws + "/nowhere") as crowd:
            await crowd.grow(1)

    with serve("wirelab.apps.echo:app") as server, pytest.raises(ConnectionError, match="refused"):
        asyncio.run(knock(server))


def test_a_message_is_short() -> None:
    async def shout(server: Server) -> None:
        async with Crowd(server.ws) as crowd:
            await crowd.grow(1)
            crowd.say("x" * 126)

    with serve("wirelab.apps.hall:hall") as server, pytest.raises(ValueError, match="125"):
        asyncio.run(shout(server))


def test_costs_come_from_the_steps_of_a_growth() -> None:
    seen = [Footprint(1, 1000, 10, 0.0), Footprint(11, 2000, 20, 0.1), Footprint(21, 3000, 30, 0.2)]
    assert for_each_client(seen, "memory") == pytest.approx((100, 100, 100))
    assert for_each_client(seen, "cpu").value == pytest.approx(0.01)


def test_an_event_costs_its_share_and_the_clock_may_be_off_by_two_ticks() -> None:
    kept = Upkeep(clients=10, seconds=2.0, cpu=0.1, events=100)
    assert kept.core_share == pytest.approx(0.05)
    assert kept.for_each == pytest.approx((0.001, 0.0008, 0.0012))
    assert Upkeep(10, 2.0, 0.0, 100).for_each.low == 0


def test_what_did_not_happen_has_no_cost() -> None:
    with pytest.raises(ValueError, match="Neither a ping nor a message reached the crowd"):
        _ = Upkeep(10, 2.0, 0.1, 0).for_each


def test_this_process_leaves_a_footprint() -> None:
    here = footprint(os.getpid(), 3)
    assert here.clients == 3
    assert here.memory > 1_000_000
    assert here.handles > 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of this kind")
def test_room_is_asked_for_and_never_promised_beyond_the_limit() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (800, before[1]))
        assert room_for(100) == 100
        assert room_for(1000) == 1000 or before[1] < 1500
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(1500, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
