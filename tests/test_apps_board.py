"""The board: REST changes it, the socket tells, and a mirror stays equal through cuts and restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import requests
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from wirelab import Link, Server, serve
from wirelab.apps import board as module
from wirelab.apps import board_client
from wirelab.apps.board import create_app
from wirelab.apps.board_client import Mirror, mirror

HEARTBEAT = 0.2


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(create_app(HEARTBEAT), name="board") as server:
        yield server


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[ClientConnection]:
    async with asyncio.timeout(20), connect(f"{server.ws}/updates", proxy=None) as socket:
        yield socket


async def next_change(socket: ClientConnection) -> dict[str, Any]:
    while "id" not in (message := json.loads(await socket.recv())):
        pass
    return message  # type: ignore[no-any-return]


def test_every_change_is_told_once_with_its_number(server: Server) -> None:
    def change() -> None:
        made = requests.post(f"{server.http}/todos", json={"task": "Try"}, timeout=5)
        assert (made.status_code, made.headers["Location"]) == (201, "/todos/4")
        path = f"{server.http}/todos/4"
        done = requests.patch(path, json={"status": "Done"}, timeout=5).json()
        assert requests.patch(path, json={"status": "Done"}, timeout=5).json() == done
        assert requests.put(path, json={"task": "Again"}, timeout=5).json()["status"] == "Pending"
        assert requests.delete(path, timeout=5).status_code == 204
        assert requests.delete(path, timeout=5).status_code == 404
        assert requests.post(f"{server.http}/todos", json={"task": ""}, timeout=5).status_code == 422

    async def run() -> None:
        async with listening(server) as one, listening(server) as other:
            first = json.loads(await one.recv())
            await asyncio.to_thread(change)
            for socket in (one, other):
                changes = [await next_change(socket) for _ in range(4)]
                assert [change["seq"] - first["seq"] for change in changes] == [1, 2, 3, 4]
                assert [change["todo"] and change["todo"]["status"] for change in changes] == [
                    "Pending",
                    "Done",
                    "Pending",
                    None,
                ]
                assert {change["epoch"] for change in changes} == {first["epoch"]}

    asyncio.run(run())


@pytest.mark.parametrize("body", [b'{"task": NaN}', rb'{"task": "\ud800"}', b'"\xff"', b"{"])
def test_what_cannot_be_repeated_is_refused_all_the_same(server: Server, body: bytes) -> None:
    answer = requests.post(f"{server.http}/todos", body, headers={"Content-Type": "application/json"}, timeout=5)
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


def test_silence_is_broken_by_a_position(server: Server) -> None:
    async def run() -> None:
        async with listening(server) as socket:
            said = [json.loads(await socket.recv()) for _ in range(3)]
        assert said[0] == said[1] == said[2]
        assert said[0] == {"epoch": said[0]["epoch"], "seq": 3, "people": [], "heartbeat": HEARTBEAT}

    asyncio.run(run())


def test_people_come_and_go_and_what_else_a_client_says_is_dropped(server: Server) -> None:
    async def until_people(socket: ClientConnection, names: list[str]) -> None:
        while json.loads(await socket.recv()).get("people") != names:
            pass

    async def run() -> None:
        async with listening(server) as one:
            async with listening(server) as other:
                for said in ("no JSON", '{"name": 7}', "[]", b"\xff"):
                    await other.send(said)
                await other.send('{"name": "Ada"}')
                await until_people(one, ["Ada"])
                await other.send('{"name": "Grace"}')
                await until_people(one, ["Grace"])
            await until_people(one, [])

    asyncio.run(run())


def test_client_that_is_too_far_behind_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    board = module.Board(HEARTBEAT)
    with board.listening() as slow:
        for number in range(4):
            board.add(module.NewTodo(task=f"Todo {number}"))
        waiting = asyncio.run(all_of(slow.waiting))
    assert [message and json.loads(message)["seq"] for message in waiting] == [0, 1, None]


async def all_of(waiting: module.Waiting) -> list[str | None]:
    return [await waiting.get() for _ in range(len(waiting))]


def test_one_position_waits_at_most_and_after_the_changes_that_it_counts() -> None:
    board = module.Board(HEARTBEAT)
    with board.listening() as reader, board.listening() as speaker:
        for number in range(module.MOST_WAITING + 1):
            board.rename(speaker, f"Guest {number}")
            if number % 500 == 0:
                board.add(module.NewTodo(task="Try"))
        board.rename(speaker, f"Guest {module.MOST_WAITING}")
        waiting = [json.loads(message or "") for message in asyncio.run(all_of(reader.waiting))]
        assert [message["seq"] for message in waiting] == [1, 2, 2, 3]
        assert [message.get("people") for message in waiting] == [None, None, ["Guest 1000"], None]
        board.rename(speaker, f"Guest {module.MOST_WAITING}")
        assert len(reader.waiting) == 0


def test_client_that_says_too_much_is_sent_away_and_nobody_else(server: Server) -> None:
    async def run() -> None:
        async with listening(server) as reader, listening(server) as flooding:
            with contextlib.suppress(ConnectionClosed):
                for number in range(1000):
                    await flooding.send(json.dumps({"name": f"Guest {number}"}))
            await flooding.wait_closed()
            assert flooding.close_code == 1008
            while json.loads(await reader.recv())["people"]:
                pass
            await asyncio.to_thread(requests.post, f"{server.http}/todos", json={"task": "Still told"}, timeout=5)
            assert (await next_change(reader))["todo"]["task"] == "Still told"

    asyncio.run(run())
    assert server.errors == []


def test_mirror_stays_equal_through_a_reset_a_freeze_and_a_restart(server: Server) -> None:
    def add(task: str) -> None:
        requests.post(f"{server.http}/todos", json={"task": task}, timeout=5).raise_for_status()

    def has(board: Any, task: str) -> bool:
        return board.live and any(todo["task"] == task for todo in board.todos.values())

    async def run() -> None:
        with Link(server, delay=0.005) as link:
            async with mirror(link.http, "Ada") as board:
                await board.until(lambda: board.live)
                for fault in (link.reset, link.freeze):
                    fault()
                    add(fault.__name__)
                    await board.until(lambda: not board.live)
                    link.thaw()
                    await board.until(lambda fault=fault: has(board, fault.__name__))  # type: ignore[misc]
                epoch, held = board.epoch, board.todos
                port = server.port
                server.stop()
                with serve(create_app(HEARTBEAT), name="board", port=port):
                    await board.until(lambda: board.live and board.epoch != epoch)
                    assert board.todos is held
                    assert len(board.todos) == 3
                    await board.until(lambda: board.people == ["Ada"])

    asyncio.run(run())


@pytest.mark.parametrize("address", ["127.0.0.1:8008", "ws://127.0.0.1:8008", "http://", "http://x:99999", 8008])
def test_mirror_of_what_is_no_address_says_so(address: Any) -> None:
    async def run() -> None:
        with pytest.raises(ValueError, match="begins with http://"):
            async with mirror(address):
                pass

    asyncio.run(run())


def test_mirror_takes_an_address_with_a_slash(server: Server) -> None:
    async def run() -> None:
        async with mirror(server.http + "/") as board:
            await board.until(lambda: board.live)

    asyncio.run(run())


def test_mirror_says_what_has_ended_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("out of order")

    async def run() -> None:
        async with mirror(server.http) as board:
            await board.until(lambda: board.live)
            monkeypatch.setattr(board_client, "connect", broken)
            server.stop()
            with pytest.raises(RuntimeError, match="out of order"):
                await board.until(lambda: board.epoch == "another")
            assert not board.live

    asyncio.run(run())


def test_mirror_is_not_live_while_it_fetches_what_it_heard_of() -> None:
    sent = [
        {"epoch": "a", "seq": 1, "people": [], "heartbeat": 5.0},
        {"epoch": "a", "seq": 3, "id": 1, "todo": {"id": 1, "task": "Try", "status": "Done"}},
    ]

    class Socket:
        async def recv(self) -> str:
            if not sent:
                raise ConnectionError
            return json.dumps(sent.pop(0))

    board, was_live = Mirror(), []

    async def fetch() -> dict[str, Any]:
        was_live.append(board.live)
        return {"epoch": "a", "seq": 1 if len(was_live) == 1 else 3, "todos": [], "people": []}

    with pytest.raises(ConnectionError):
        asyncio.run(board._follow(Socket(), fetch))  # type: ignore[arg-type]
    assert was_live == [False, False]
    assert (board.seq, board.live) == (3, True)


def test_page_loads_nothing_from_elsewhere(server: Server) -> None:
    for path in ("/", "/board.js", "/board.css"):
        part = requests.get(server.http + path, timeout=5)
        assert part.ok
        assert "default-src 'none'" in part.headers["Content-Security-Policy"]
        assert "://" not in part.text
        # Relative, for a proxy that serves it below another path.
        assert 'src="/' not in part.text
        assert 'href="/' not in part.text
