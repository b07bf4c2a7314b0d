"""A balancer picks a worker for each connection, by lot or by key, and passes over the dead."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.asyncio.server import ServerConnection
from websockets.sync.client import connect

from wirelab import Server, serve
from wirelab._relay import ABORT
from wirelab.balancer import Balancer
from wirelab.members import members_at, until_heard


def named(name: str) -> Starlette:
    async def say(request: Request) -> PlainTextResponse:
        return PlainTextResponse(name + (await request.body()).decode())

    return Starlette(routes=[Route("/", say, methods=["GET", "POST"])])


def user_of(head: str) -> str:
    found = re.search(r"user=(\w+)", head)
    return found[1] if found else ""


@pytest.fixture
def workers() -> Iterator[list[Server]]:
    servers = [serve(named(name), name=name) for name in "abc"]
    yield servers
    for server in servers:
        server.stop()


def get(url: str) -> str:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=10).text


def test_a_lot_reaches_every_worker(workers: list[Server]) -> None:
    with Balancer(workers, seed=1) as door:
        said = [get(door.http) for _ in range(30)]
        assert {name: said.count(name) for name in "abc"} == {
            "abc"[place]: count for place, count in door.opened.items()
        }
        assert set(said) == set("abc")


def test_a_key_goes_to_one_worker_and_moves_only_when_that_is_gone(workers: list[Server]) -> None:
    with Balancer(workers, by=user_of) as door:
        before = {n: get(f"{door.http}/?user={n}") for n in range(12)}
        assert before == {n: get(f"{door.http}/?user={n}") for n in range(12)}
        assert set(before.values()) == set("abc")
        workers[0].stop()
        after = {n: get(f"{door.http}/?user={n}") for n in range(12)}
        assert all(after[n] == name for n, name in before.items() if name != "a")
        assert "a" not in after.values()


def test_a_kept_connection_stays_with_its_worker_and_bodies_pass(workers: list[Server]) -> None:
    with Balancer(workers, seed=2) as door, requests.Session() as session:
        session.trust_env = False
        said = {session.post(door.http, data="x" * 300_000, timeout=10).text[:1] for _ in range(5)}
        assert len(said) == 1
        assert door.opened.total() == 1


def test_with_no_worker_left_a_client_is_hung_up_on(workers: list[Server]) -> None:
    for worker in workers:
        worker.stop()
    with Balancer(workers) as door:
        with pytest.raises(requests.ConnectionError):
            get(door.http)
        assert not door.errors


def test_who_says_nothing_or_nonsense_is_no_error(workers: list[Server]) -> None:
    with Balancer(workers) as door:
        with socket.create_connection(("127.0.0.1", door.port)):
            pass
        with socket.create_connection(("127.0.0.1", door.port)) as sock:
            sock.sendall(b"x" * 200_000 + b"\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        assert get(door.http) in "abc"
        assert not door.errors


def test_a_websocket_passes_and_ends_with_its_worker() -> None:
    async def echo(websocket: ServerConnection) -> None:
        async for message in websocket:
            await websocket.send(message)

    with serve(echo) as server, Balancer([server]) as door, connect(door.ws, proxy=None) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello"
        server.stop()
        with pytest.raises(Exception, match="going away"):
            websocket.recv(timeout=10)


@pytest.mark.parametrize("leaving", ["client", "worker"])
def test_a_reset_on_one_side_breaks_the_other(leaving: str) -> None:
    said = b"GET / HTTP/1.1\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener, serve(named("stand-in")) as stand_in:
        stand_in.port = listener.getsockname()[1]
        with Balancer([stand_in]) as door, socket.create_connection(("127.0.0.1", door.port)) as client:
            client.sendall(said)
            worker, _ = listener.accept()
            with worker:
                assert worker.recv(100) == said
                gone, left = (client, worker) if leaving == "client" else (worker, client)
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                gone.close()
                left.settimeout(5)
                with contextlib.suppress(ConnectionResetError):
                    assert left.recv(1) == b""
            assert not door.errors


def test_what_are_no_workers_is_refused(workers: list[Server]) -> None:
    for wrong in (workers[0], [], [workers[0].http]):
        with pytest.raises(ValueError, match=r"a list of servers, as in Balancer\(\[one, two\]\)"):
            Balancer(wrong)  # type: ignore[arg-type]


def test_members_hear_and_come_back_with_the_number_of_their_last_message() -> None:
    paths: list[str] = []

    async def two_and_cut(websocket: ServerConnection) -> None:
        assert websocket.request
        paths.append(websocket.request.path)
        after = int(re.sub(r"\D", "", websocket.request.path) or 0)
        for seq in (after + 1, after + 2):
            await websocket.send(f'{{"seq": {seq}}}')
        if after < 4:
            await websocket.close(1012)
        await websocket.wait_closed()

    async def stay(url: str) -> tuple[list[int], int]:
        async with members_at([url], resume=True) as members:
            await until_heard(members, 6)
            return members[0].seqs, members[0].connections

    with serve(two_and_cut) as server:
        assert asyncio.run(stay(server.ws)) == ([1, 2, 3, 4, 5, 6], 3)
    assert paths == ["/", "/?after=2", "/?after=4"]


def test_who_waits_in_vain_waits_no_longer_than_told() -> None:
    async def wait(url: str) -> int:
        async with members_at([url]) as members:
            await until_heard(members, 1, seconds=0.05)
            return len(members[0].heard)

    with serve("wirelab.apps.hall:hall") as server:
        assert asyncio.run(wait(server.ws)) == 0
