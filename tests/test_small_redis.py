"""The stand-in for Redis: what it answers is what Redis answers, where there is one to compare with."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import ResponseError

from wirelab import stop_all
from wirelab.small_redis import SmallRedis

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def broker() -> Iterator[SmallRedis]:
    with SmallRedis() as broker:
        yield broker


@pytest.fixture(params=["small", "real"])
def url(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[str]:
    if request.param == "small":
        with SmallRedis() as broker:
            yield broker.url
        return
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    path = tmp_path / "socket"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", ""]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                if "eady to accept connections" in line or "now ready to accept" in line:
                    break
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.communicate()


@pytest.mark.parametrize("protocol", [2, 3])
async def test_answers_as_redis_does(url: str, protocol: int) -> None:
    redis = Redis.from_url(url, decode_responses=True, protocol=protocol)
    async with asyncio.timeout(30), redis:
        assert [await redis.xadd("tea", {"text": text}, id="0-*") for text in "aé"] == ["0-1", "0-2"]
        assert await redis.xrange("tea", min="(0-1") == [("0-2", {"text": "é"})]
        assert await redis.xrange("tea", max="0-1", count=1) == [("0-1", {"text": "a"})]
        assert (await redis.xrevrange("tea", count=1))[0][0] == "0-2"
        assert await redis.xlen("tea") == 2
        with pytest.raises(ResponseError, match="equal or smaller"):
            await redis.xadd("tea", {"text": "late"}, id="0-1")
        assert await redis.xadd("tea", {"text": "c"}, id="7-1", maxlen=2, approximate=False) == "7-1"
        assert [entry[0] for entry in await redis.xrange("tea")] == ["0-2", "7-1"]
        assert not await redis.xread({"tea": "7-1"}, block=20)
        assert not await redis.xread({"nobody": "0"})
        waiting = asyncio.create_task(redis.xread({"tea": "$"}, block=5000))
        while not waiting.done():
            await redis.xadd("tea", {"text": "news"})
            await asyncio.sleep(0.01)
        found = waiting.result()
        entries = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
        assert entries[0][1] == {"text": "news"}
        assert [await redis.rpush("list", *"abc"), await redis.lrange("list", 1, -1)] == [3, ["b", "c"]]
        assert [await redis.ltrim("list", -1, -1), await redis.llen("list")] == [True, 1]
        assert [await redis.incr("count"), await redis.incr("count"), await redis.get("count")] == [1, 2, "2"]
        assert [await redis.set("name", "x", nx=True), await redis.set("name", "y", nx=True)] == [True, None]
        assert await redis.exists("name", "list", "gone") == 2
        assert [await redis.delete("name", "gone"), await redis.get("name")] == [1, None]


@pytest.mark.parametrize("protocol", [2, 3])
async def test_sorted_sets_and_hashes_answer_as_redis_does(url: str, protocol: int) -> None:
    redis = Redis.from_url(url, decode_responses=True, protocol=protocol)
    async with asyncio.timeout(30), redis:
        assert [await redis.zadd("tea", {"c": 3, "a": 1}), await redis.zadd("tea", {"b": 2.5, "a": 1})] == [2, 1]
        assert await redis.zrange("tea", 0, -1) == ["a", "b", "c"]
        assert await redis.zrange("tea", -2, 1) == ["b"]
        assert await redis.zrange("tea", 0, 0, desc=True) == ["c"]
        scored = [tuple(pair) for pair in await redis.zrange("tea", 0, 1, withscores=True)]
        assert scored == [("a", 1.0), ("b", 2.5)]
        assert await redis.zrangebyscore("tea", "(1", "+inf") == ["b", "c"]
        assert await redis.zrangebyscore("tea", "-inf", "(3") == ["a", "b"]
        assert [await redis.zcard("tea"), await redis.exists("tea")] == [3, 1]
        assert await redis.hset("room", mapping={"seq": "1", "topic": "é"}) == 2
        assert [await redis.hincrby("room", "seq", 2), await redis.hget("room", "seq")] == [3, "3"]
        assert await redis.hgetall("room") == {"seq": "3", "topic": "é"}
        assert [await redis.hget("room", "gone"), await redis.hgetall("gone")] == [None, {}]
        assert [await redis.delete("tea", "room"), await redis.zcard("tea")] == [2, 0]
        assert await redis.rpush("list", *"abc") == 3
        assert await redis.lrange("list", 0, -9) == []


@pytest.mark.parametrize("protocol", [2, 3])
async def test_transactions_answer_as_redis_does(url: str, protocol: int) -> None:
    redis = Redis.from_url(url, decode_responses=True, protocol=protocol)
    async with asyncio.timeout(30), redis, redis.pubsub(ignore_subscribe_messages=True) as news:
        await news.subscribe("tea")
        await news.get_message(timeout=5)
        async with redis.pipeline() as pipe:
            pipe.incr("seq").rpush("tea", "a").publish("tea", "look").zrange("none", 0, -1)
            assert await pipe.execute() == [1, 1, 1, []]
        while not (message := await news.get_message(timeout=5)):
            pass
        assert message["data"] == "look"
        async with redis.pipeline() as pipe:
            pipe.set("word", "x").incr("word").rpush("tea", "b")
            with pytest.raises(ResponseError):
                await pipe.execute()
        assert [await redis.get("word"), await redis.llen("tea")] == ["x", 2]
        async with redis.client() as one:
            with pytest.raises(ResponseError, match="EXEC without MULTI"):
                await one.execute_command("EXEC")
            for command in ("MULTI", "INCR seq", "DISCARD"):
                await one.execute_command(*command.split())
            assert await one.get("seq") == "1"


@pytest.mark.parametrize("protocol", [2, 3])
async def test_publications_reach_who_has_subscribed(url: str, protocol: int) -> None:
    redis = Redis.from_url(url, decode_responses=True, protocol=protocol)
    async with asyncio.timeout(30), redis, redis.pubsub(ignore_subscribe_messages=True) as news:
        await news.subscribe("tea")
        await news.psubscribe("coff*")
        for _ in range(2):
            await news.get_message(timeout=5)
        assert await redis.publish("tea", "hello") == 1
        assert await redis.publish("coffee", "hello") == 1
        assert await redis.publish("water", "hello") == 0
        heard = []
        while len(heard) < 2:
            if message := await news.get_message(timeout=5):
                heard.append((message["type"], message["channel"], message["data"]))
        assert heard == [("message", "tea", "hello"), ("pmessage", "coffee", "hello")]


async def test_unknown_command_is_named(broker: SmallRedis) -> None:
    async with Redis.from_url(broker.url) as redis:
        async with redis.pipeline() as pipe:
            pipe.incr("seq").execute_command("GEOADD", "map", 1, 2, "here")
            with pytest.raises(ResponseError, match="unknown command 'geoadd'"):
                await pipe.execute()
        assert await redis.get("seq") is None
        with pytest.raises(ResponseError, match="unknown command 'eval'"):
            await redis.eval("return 1", 0)
        assert await redis.ping()


def test_what_is_no_request_is_hung_up_on(broker: SmallRedis) -> None:
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"*1\r\n$99999999\r\n", b"*0\r\n", b"x" * 2**21):
        with socket.create_connection(("127.0.0.1", broker.port), 10) as client:
            try:
                client.sendall(nonsense)
                assert client.recv(100) == b""
            except ConnectionError:
                pass


async def test_stops_while_clients_wait_and_begins_anew_on_its_port() -> None:
    first = SmallRedis()
    redis = Redis.from_url(first.url, decode_responses=True)
    waiting = asyncio.create_task(redis.xread({"tea": "$"}, block=0))
    while not await redis.ping() or not waiting:
        pass
    await asyncio.to_thread(stop_all)
    with pytest.raises(Lost):
        async with asyncio.timeout(10):
            await waiting
    with await asyncio.to_thread(SmallRedis, first.port) as second:
        assert second.url == first.url
        assert await redis.xrange("tea") == []
        await redis.aclose()
