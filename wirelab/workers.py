"""Several worker processes of one application, and the brokers that can stand behind them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import redis
from fastapi import FastAPI

from ._subprocess import ServerProcess
from .apps import chat
from .apps.broker import Broker
from .serving import Server, serve

# The variable that tells a worker of the chat where its broker is.
BROKER_VARIABLE = "WIRELAB_BROKER"
# The first Redis with streams, and seconds until one has to answer.
OLDEST_REDIS, REDIS_DEADLINE = 5, 8.0
# Started at the same time: a process needs half a second of a core to import what it serves.
AT_ONCE = 4


def serve_workers(app: str, count: int, *, name: str = "worker", **options: Any) -> list[Server]:
    """Start so many processes of an application, several at a time.

    Args:
        app: its dotted name.
        count: how many.
        name: what they are called by, with a number.
        **options: as for `serve`.

    Raises:
        ServeError: one did not start; the others are stopped.
    """
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE, "wirelab starts") as pool:
        starting = [
            pool.submit(serve, app, name=f"{name} {number}", process=True, **options)
            for number in range(1, count + 1)
        ]
        for each in starting:
            if not each.exception():
                stack.callback(each.result().stop)
        workers = [each.result() for each in starting]
        stack.pop_all()
    return workers


def serve_chat(broker_url: str, count: int, *, name: str = "chat") -> list[Server]:
    """Start so many workers of `wirelab.apps.chat` that share a broker; see `serve_workers`."""
    os.environ[BROKER_VARIABLE] = broker_url
    try:
        return serve_workers("wirelab.workers:chat_worker", count, name=name, factory=True)
    finally:
        del os.environ[BROKER_VARIABLE]


def chat_worker() -> FastAPI:
    """One worker of the chat, in a process that `serve_chat` has started."""
    return chat.create_app(os.environ[BROKER_VARIABLE])


@contextmanager
def brokers() -> Iterator[dict[str, str]]:
    """Start every broker that is to be had, and yield their URLs: "ZeroMQ", and "Redis" where it is installed."""
    with Broker() as embedded, redis_server() as url:
        yield {"ZeroMQ": embedded.url} | ({"Redis": url} if url else {})


@contextmanager
def redis_server() -> Iterator[str | None]:
    """Start a Redis server that keeps everything in memory, and yield its URL; None where there is none."""
    program = shutil.which("redis-server")
    if program is None or _version(program) < OLDEST_REDIS:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="wirelab-redis-", ignore_cleanup_errors=True) as folder:
        port = _free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield f"redis://127.0.0.1:{port}" if _ready(process, port) else None
        finally:
            process.terminate()
            try:
                process.communicate(timeout=REDIS_DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _ready(process: subprocess.Popen[str], port: int) -> bool:
    assert process.stdout
    for line in process.stdout:
        if "eady to accept connections" in line:
            with contextlib.closing(redis.Redis(port=port, socket_timeout=REDIS_DEADLINE)) as client:
                return bool(client.ping())
    return False


def _version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v=(\d+)", said)
    return int(found[1]) if found else 0


def _free_port() -> int:
    # Redis cannot be handed a socket; it says when somebody else was faster, and then counts as missing.
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def crash(worker: Server) -> None:
    """End a worker's process as a fault of the machine would, without a word to its clients.

    Raises:
        ValueError: it has no process of its own.
    """
    if not isinstance(worker._runner, ServerProcess):
        raise ValueError(f"Server {worker.name} runs in this process: to crash it, serve it with process=True.")
    worker._runner.kill()
    worker.stop()
