"""Chat rooms over several workers, with either broker behind them."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import zmq
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from wirelab import Link, Server, serve
from wirelab.apps.broker import Broker, Switchboard
from wirelab.apps.chat import create_app

pytestmark = pytest.mark.anyio

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def redis_server(folder: Path, port: int = 0) -> Iterator[int]:
    """A Redis server that keeps what it has over a restart; yields its port."""
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    command = f"redis-server --port {port} --bind 127.0.0.1 --appendonly yes --appendfsync always --save"
    with subprocess.Popen([*command.split(), ""], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                if "Ready to accept connections" in line:
                    break
            yield port
        finally:
            process.terminate()
            process.communicate()


@pytest.fixture(params=["zmq", pytest.param("redis", marks=needs_redis)])
def broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "zmq":
        with Broker() as broker:
            yield broker.url
    else:
        with redis_server(tmp_path) as port:
            yield f"redis://127.0.0.1:{port}"


@contextmanager
def workers(*broker_urls: str) -> Iterator[list[Server]]:
    servers = [serve(create_app(url), name=f"worker {number}") for number, url in enumerate(broker_urls)]
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()


@asynccontextmanager
async def members(servers: list[Server], path: str) -> AsyncIterator[list[ClientConnection]]:
    async with asyncio.timeout(40), AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect(f"{one.ws}/rooms/{path}", proxy=None)) for one in servers]


def post(server: Server, text: str, room: str = "tea") -> requests.Response:
    return requests.post(f"{server.http}/rooms/{room}/messages", json={"text": text}, timeout=10)


async def post_all(servers: list[Server], texts: list[str]) -> None:
    """Post at once, each text to another worker."""
    work = (asyncio.to_thread(post, servers[n % len(servers)], text) for n, text in enumerate(texts))
    assert {answer.status_code for answer in await asyncio.gather(*work)} == {201}


async def heard(member: ClientConnection, count: int) -> list[dict[str, Any]]:
    return [json.loads(await member.recv()) for _ in range(count)]


async def test_every_member_gets_every_message_once_in_one_order(broker_url: str) -> None:
    texts = [f"message {number}" for number in range(30)]
    with workers(broker_url, broker_url, broker_url) as servers:
        async with members(servers, "tea") as joined, members(servers[:1], "coffee") as others:
            await post_all(servers, texts)
            one, *rest = [await heard(member, len(texts)) for member in joined]
            assert all(other == one for other in rest)
            assert sorted(message["text"] for message in one) == sorted(texts)
            assert [message["seq"] - one[0]["seq"] for message in one] == list(range(len(texts)))
            await asyncio.to_thread(post, servers[1], "for coffee", "coffee")
            assert [message["text"] for message in await heard(others[0], 1)] == ["for coffee"]
        after = one[9]["seq"]
        history = f"{servers[2].http}/rooms/tea/messages?after={after}"
        kept = await asyncio.to_thread(requests.get, history, timeout=5)
        assert kept.json() == {"messages": one[10:]}
        async with members(servers[2:], f"tea?after={after}") as back:
            assert await heard(back[0], 20) == one[10:]
            await asyncio.to_thread(post, servers[0], "one more")
            assert (await heard(back[0], 1))[0]["text"] == "one more"


async def test_worker_that_lost_its_broker_brings_what_it_missed(broker_url: str) -> None:
    with Link(broker_url.replace("zmq", "http").replace("redis", "http")) as link:
        scheme = broker_url.partition(":")[0]
        with workers(f"{scheme}://127.0.0.1:{link.port}", broker_url) as servers:
            async with members(servers, "tea") as joined:
                await post_all(servers, ["before"])
                link.refuse()
                link.reset()
                assert (await asyncio.to_thread(post, servers[0], "nobody hears this")).status_code == 503
                for text in ("one", "two"):
                    await post_all(servers[1:], [text])
                assert [m["text"] for m in await heard(joined[1], 3)] == ["before", "one", "two"]
                link.accept()
                assert [m["text"] for m in await heard(joined[0], 3)] == ["before", "one", "two"]


async def test_broker_that_was_started_anew_is_come_back_to() -> None:
    with Broker() as broker, workers(broker.url) as servers:
        async with members(servers, "tea") as joined:
            await post_all(servers, ["before"])
            broker.stop()
            with Broker(broker.port):
                while (await asyncio.to_thread(post, servers[0], "after")).status_code != 201:
                    pass
                first, then = await heard(joined[0], 2)
                assert [first["text"], then["text"]] == ["before", "after"]
                assert then["seq"] > first["seq"]


@needs_redis
async def test_redis_that_was_started_anew_is_come_back_to(tmp_path: Path) -> None:
    with redis_server(tmp_path) as port:
        stack = workers(f"redis://127.0.0.1:{port}")
        servers = stack.__enter__()
        await post_all(servers, ["before"])
    try:
        with redis_server(tmp_path, port):
            async with members(servers, "tea?after=0") as joined:
                await post_all(servers, ["after"])
                assert [m["text"] for m in await heard(joined[0], 2)] == ["before", "after"]
    finally:
        stack.__exit__(None, None, None)


async def test_member_is_told_that_the_broker_is_away() -> None:
    with Broker() as broker:
        pass
    with workers(broker.url) as servers:
        async with members(servers, "tea") as joined:
            await joined[0].wait_closed()
            assert joined[0].close_code == 1013


async def test_nonsense_gets_no_answer_and_does_not_end_the_broker() -> None:
    with Broker() as broker, workers(broker.url) as servers, zmq.Context() as context:
        with context.socket(zmq.DEALER) as client:
            client.linger = 0
            client.connect(broker.url.replace("zmq", "tcp"))
            for after in ("Infinity", "-Infinity", "NaN", '"soon"', "[]", "null"):
                client.send_string(f'{{"do": "history", "call": 1, "room": "tea", "after": {after}}}')
            client.send_string('{"do": "history", "call": 2, "room": "tea", "after": 0}')
            assert client.poll(10_000)
            assert json.loads(client.recv())["call"] == 2
        assert (await asyncio.to_thread(post, servers[0], "still there")).status_code == 201


def test_broker_keeps_no_room_that_was_only_looked_at() -> None:
    board = Switchboard()
    for do, who in (("history", "call"), ("listen", "id")):
        board.answer(b"me", {"do": do, who: 1, "room": "tea", "after": 0})
    assert not board.rooms
    [(_, looked)] = board.answer(b"me", {"do": "history", "call": 1, "room": "tea", "after": 0})
    [(_, heard), _] = board.answer(b"you", {"do": "publish", "call": 1, "room": "tea", "text": "Hello"})
    # Else the listener would take it for one that came after something that was lost.
    assert heard["prev"] == looked["seq"]
    assert list(board.rooms) == ["tea"]


@pytest.mark.parametrize("body", [b'{"text": NaN}', rb'{"text": "\ud800"}', b"{"])
def test_what_cannot_be_repeated_is_refused_all_the_same(body: bytes) -> None:
    with Broker() as broker, workers(broker.url) as servers:
        headers = {"Content-Type": "application/json"}
        answer = requests.post(f"{servers[0].http}/rooms/tea/messages", body, headers=headers, timeout=10)
        assert answer.status_code in (400, 422)
        assert answer.json()["detail"]
        assert servers[0].errors == []


@pytest.mark.parametrize("after", [-1, 2**63])
async def test_number_that_no_message_has_is_refused(after: int, broker_url: str) -> None:
    with workers(broker_url) as servers:
        path = f"rooms/tea/messages?after={after}"
        answer = await asyncio.to_thread(requests.get, f"{servers[0].http}/{path}", timeout=10)
        assert answer.status_code == 422
        with pytest.raises(InvalidStatus, match="403"):
            await connect(f"{servers[0].ws}/rooms/tea?after={after}", proxy=None)
        assert servers[0].errors == []


def test_broker_says_that_its_port_is_taken() -> None:
    with Broker() as broker, pytest.raises(OSError, match="is taken"):
        Broker(broker.port)


def test_unknown_broker_is_named() -> None:
    with pytest.raises(Exception, match="did not start"):
        serve(create_app("amqp://127.0.0.1:1"))


def test_programs_run_from_a_shell() -> None:
    command = [sys.executable, "-u", "-m", "wirelab.apps.broker", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().split()[-1]
            with workers(url) as servers:
                assert post(servers[0], "hello").status_code == 201
        finally:
            process.terminate()
