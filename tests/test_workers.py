"""Several worker processes: started together, stopped together, with a broker behind them where they share one."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis
import requests

from wirelab import ServeError, Server, serve
from wirelab._subprocess import ServerProcess
from wirelab.workers import brokers, crash, redis_server, serve_chat, serve_workers

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


def session() -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    return made


def test_each_worker_is_a_process_with_a_memory_of_its_own() -> None:
    workers = serve_workers("wirelab.apps.todos:app", 2, name="pair")
    try:
        assert [worker.name for worker in workers] == ["pair 1", "pair 2"]
        assert len({worker.pid for worker in workers}) == 2
        with session() as http:
            http.post(workers[0].http + "/todos", json={"task": "Divide"}, timeout=10)
            counts = [len(http.get(worker.http + "/todos", timeout=10).json()) for worker in workers]
        assert counts == [3, 2]
    finally:
        for worker in workers:
            worker.stop()


def test_when_one_does_not_start_none_is_left() -> None:
    before = set(psutil.Process().children())
    with pytest.raises(ServeError, match="nowhere"):
        serve_workers("wirelab.apps.nowhere:app", 2)
    assert set(psutil.Process().children()) <= before


def test_workers_of_the_chat_share_what_is_posted_and_survive_each_other() -> None:
    with brokers() as urls, session() as http:
        assert "ZeroMQ" in urls
        one, two = serve_chat(urls["ZeroMQ"], 2, name="tested")
        try:
            seq = http.post(f"{one.http}/rooms/tea/messages", json={"text": "Hello"}, timeout=10).json()["seq"]
            crash(one)
            assert not psutil.pid_exists(one.pid)
            answer = http.get(f"{two.http}/rooms/tea/messages?after={seq - 1}", timeout=10)
            assert answer.json() == {"messages": [{"seq": seq, "text": "Hello"}]}
        finally:
            two.stop()


def test_a_crash_that_was_meant_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = serve("wirelab.apps.hall:hall", process=True)
    runner = worker._runner
    assert isinstance(runner, ServerProcess)

    def stop() -> None:
        # Who reads what the process says notices its end first.
        runner._reader.join(10)
        Server.stop(worker)

    monkeypatch.setattr(worker, "stop", stop)
    crash(worker)
    assert not worker.running
    assert worker.errors == []


def test_only_a_process_can_crash() -> None:
    with serve("wirelab.apps.hall:hall") as server:
        with pytest.raises(ValueError, match="serve it with process=True"):
            crash(server)
        assert server.running


@needs_redis
def test_redis_is_ready_when_it_is_told_of_and_gone_afterwards() -> None:
    with redis_server() as url:
        assert url
        with redis.Redis.from_url(url) as client:
            assert client.ping()
    with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError):
        client.ping()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the program")
@pytest.mark.parametrize("version", ["4.0.9", "7.0.0"])
def test_a_redis_that_is_old_or_does_not_start_counts_as_missing(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'Redis server v={version} sha=0'\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    with redis_server() as url:
        assert url is None


def test_without_redis_there_is_one_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with brokers() as urls:
        assert list(urls) == ["ZeroMQ"]


def test_the_hall_is_a_program() -> None:
    command = [sys.executable, "-u", "-m", "wirelab.apps.hall", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        process.kill()
    assert line.startswith("The hall is at ws://127.0.0.1:")
