"""The target that the grader gives to checks: servers, calls, generators, contexts, sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from grading_support import LAB, SHORT

from wirelab.checks import Lab, NotStarted, RemoteError
from wirelab.grading import Crew
from wirelab.grading.crew import CrewError, Process
from wirelab.grading.session import SandboxTarget, Session
from wirelab.grading.submission import Submission

SOURCE = """
import asyncio
import contextlib
import os

state = {"calls": 0}


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError("no lifespan here")
    state["calls"] += 1
    if scope["path"] == "/raise":
        raise LookupError("a bug")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{state['calls']} {hash('text')} {os.getpid()}".encode()})


def make(greeting):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": greeting.encode()})

    return app


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def add(a, b):
    state["calls"] += 1
    return [a + b, state["calls"]]


async def fetch(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    text = await reader.read()
    writer.close()
    return text.decode()


async def count(n):
    for number in range(n):
        yield number
    raise PermissionError("that is all")


@contextlib.asynccontextmanager
async def mirror():
    board = {}
    board["in"] = True
    yield board


async def where():
    return os.getpid()


async def places():
    yield os.getpid()


def sleep():
    import time

    time.sleep(1000)


nonsense = 5
"""

KINDS = {
    "app": "asgi",
    "make": "asgi_factory",
    "echo": "websocket",
    "nonsense": "asgi",
    "missing": "asgi",
    **dict.fromkeys(("add", "fetch", "count", "mirror", "where", "places", "sleep", "absent"), "function"),
}


@pytest.fixture(scope="module", params=["fork", "fresh"])
def crew(request: pytest.FixtureRequest):
    """Both ways to start a process: the second is that of systems without fork."""
    with Crew(SHORT, fork=request.param == "fork") as crew:
        yield crew


@asynccontextmanager
async def target(crew: Crew) -> AsyncIterator[SandboxTarget]:
    lab = Lab(LAB, "", KINDS, {})
    async with (
        Session(crew, Submission("answer.py", source=SOURCE), lab) as session,
        SandboxTarget(session) as made,
    ):
        yield made


async def get(base: str, path: str = "/") -> str:
    """One request on a connection of its own; the answer's body."""
    host, port = base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.0\r\nHost: test\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer.decode().split("\r\n\r\n", 1)[1]


def test_every_server_is_fresh(crew: Crew) -> None:
    async def run() -> None:
        async with target(crew) as made:
            for _ in range(2):
                async with made.serve("app") as served:
                    assert (await get(served.http)).split()[0] == "1"
                    assert (await get(served.http)).split()[0] == "2"
            async with made.serve("app") as one, made.serve("app") as two:
                first, second = await get(one.http), await get(two.http)
                assert first.split()[0] == second.split()[0] == "1"
                assert one.http != two.http
                assert one.ws == one.http.replace("http", "ws")

    asyncio.run(run())


def test_own_interpreter_has_its_own_hash_seed(crew: Crew) -> None:
    async def run() -> None:
        async with target(crew) as made:
            seeds = set()
            for _ in range(2):
                async with made.serve("app", own_interpreter=True) as served:
                    seeds.add((await get(served.http)).split()[1])
            assert len(seeds) == 2

    asyncio.run(run())


def test_factory_and_handler(crew: Crew) -> None:
    async def run() -> None:
        from websockets.asyncio.client import connect

        async with target(crew) as made:
            async with made.serve("make", "hello") as served:
                assert await get(served.http) == "hello"
            async with made.serve("echo", ping_interval=None) as served, connect(served.ws, proxy=None) as client:
                await client.send("ping")
                assert await asyncio.wait_for(client.recv(), 10) == "ping"

    asyncio.run(run())


def test_what_cannot_be_served_says_why(crew: Crew) -> None:
    async def run() -> None:
        async with target(crew) as made:
            with pytest.raises(NotStarted, match="defines no missing"):
                async with made.serve("missing"):
                    pass
            with pytest.raises(NotStarted, match="nonsense did not start"):
                async with made.serve("nonsense"):
                    pass
            with pytest.raises(NotStarted, match="defines no absent"):
                await made.call("absent")

    asyncio.run(run())


def test_errors_memory_and_kill(crew: Crew) -> None:
    async def run() -> None:
        async with target(crew) as made, made.serve("app") as served:
            await get(served.http, "/raise")
            assert ["LookupError: a bug" in error for error in await served.errors()] == [True]
            memory = await served.memory()
            assert memory is None or 0 < memory < SHORT.memory
            await served.kill()
            with pytest.raises(OSError, match="onnect"):
                await get(served.http)
            assert await served.errors() == []

    asyncio.run(run())


def test_calls_share_a_process_and_generators_go_step_by_step(crew: Crew) -> None:
    async def run() -> None:
        async with target(crew) as made:
            assert await made.call("add", 1, 2) == [3, 1]
            assert await made.call("add", "a", "b") == ["ab", 2]
            numbers = made.iterate("count", 2)
            assert [await anext(numbers), await anext(numbers)] == [0, 1]
            with pytest.raises(RemoteError) as caught:
                await anext(numbers)
            assert caught.value.names[:2] == ("PermissionError", "OSError")
            assert caught.value.text == "that is all"
            async with made.enter("mirror") as board:
                assert await board.value() == {"in": True}

    asyncio.run(run())


def test_first_calls_at_once_share_one_process(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that listen; what one of them lacks is no matter to the others."""
    begun: list[bool] = []
    start = crew.start

    def counted(*, fresh: bool) -> Process:
        begun.append(fresh)
        return start(fresh=fresh)

    async def run() -> None:
        async with target(crew) as made:
            absent, sock, *places = await asyncio.gather(
                made.call("absent"),
                made.listen(),
                *(made.call("where") for _ in range(5)),
                *(anext(made.iterate("places")) for _ in range(3)),
                return_exceptions=True,
            )
            assert isinstance(absent, NotStarted)
            assert isinstance(sock, socket.socket)
            sock.close()
            assert isinstance(places[0], int)
            assert places == 8 * [await made.call("where")]

    monkeypatch.setattr(crew, "start", counted)
    asyncio.run(run())
    assert begun == [False]


def test_servers_at_once_are_copies_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []

    async def run(crew: Crew) -> None:
        start = crew.start

        def counted(*, fresh: bool) -> Process:
            begun.append(fresh)
            return start(fresh=fresh)

        monkeypatch.setattr(crew, "start", counted)
        async with target(crew) as made, asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(visit(made))

    async def visit(made: SandboxTarget) -> None:
        async with made.serve("app") as served:
            assert (await get(served.http)).split()[0] == "1"

    with Crew(SHORT) as crew:
        asyncio.run(run(crew))
    assert begun == [False]


def test_start_that_fails_tells_all_and_can_be_tried_again(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []

    def no_process(*, fresh: bool) -> Process:
        begun.append(fresh)
        raise CrewError("there is no room")

    async def run() -> None:
        async with target(crew) as made:
            with monkeypatch.context() as patch:
                patch.setattr(crew, "start", no_process)
                told = await asyncio.gather(*(made.call("add", 1, 2) for _ in range(8)), return_exceptions=True)
            assert [str(error) for error in told] == 8 * ["there is no room."]
            assert begun == [False]
            assert await made.call("add", 1, 2) == [3, 1]

    asyncio.run(run())


def test_grader_plays_the_server(crew: Crew) -> None:
    """On a socket of the network that the learner's process sees."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def run() -> None:
        async with target(crew) as made:
            sock = await made.listen()
            host, port = sock.getsockname()
            async with await asyncio.start_server(answer, sock=sock):
                assert await asyncio.wait_for(made.call("fetch", host, port), 10) == "hello"

    asyncio.run(run())


def test_call_that_hangs_can_be_given_up(crew: Crew) -> None:
    async def run() -> None:
        async with target(crew) as made:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await made.call("sleep")
            async with made.serve("app") as served:
                assert (await get(served.http)).split()[0] == "1"

    asyncio.run(run())
