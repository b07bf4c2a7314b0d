"""The brokers that a check puts behind the workers: the kit's stand-in for Redis, and Redis itself."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from wirelab._background import listening_socket
from wirelab.checks import CannotJudge
from wirelab.small_redis import SmallRedisServer, Store

# Seconds until Redis takes connections, or has written everything and ended.
REDIS_DEADLINE = 8.0
# Before this version, entries cannot be numbered by ``0-*``.
OLDEST_REDIS = 7
# How often a port is tried that somebody else may take first.
TRIES = 3


class Broker(Protocol):
    """A broker on the machine's loopback."""

    name: str
    port: int

    @property
    def unknown(self) -> str:
        """What it has answered to a request that Redis would have taken; empty if there was none."""

    async def restart(self) -> None:
        """End it as a restart does, and start it again on the same port with all that it has kept."""


class Small:
    """The stand-in, on the check's own event loop."""

    name = "the small Redis of the kit"

    def __init__(self) -> None:
        """Use `small`."""
        self._store = Store()
        self._server = SmallRedisServer(self._store)
        self.port = 0

    async def start(self) -> None:
        """Serve, on a free port or on the one that it had."""
        listener = listening_socket(self.port)
        self.port = listener.getsockname()[1]
        await self._server.start(listener)

    async def stop(self) -> None:
        """Drop every client."""
        await self._server.stop()

    async def restart(self) -> None:
        """See `Broker`."""
        await self.stop()
        await self.start()

    @property
    def unknown(self) -> str:
        """What it has answered to a request that Redis would have taken; empty if there was none."""
        return next(iter(self._store.unknown), "")

    @contextlib.contextmanager
    def slow(self, seconds: Mapping[str, float]) -> Iterator[None]:
        """Let some commands take their time in this block."""
        self._store.late = seconds
        try:
            yield
        finally:
            self._store.late = {}


@asynccontextmanager
async def small() -> AsyncIterator[Small]:
    """The stand-in, for one exercise."""
    broker = Small()
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


class Redis:
    """A Redis server in a process of its own, which writes everything to a folder at once."""

    name = "Redis"

    def __init__(self, program: str, folder: str) -> None:
        """Use `redis`."""
        self.unknown = ""
        self._program, self._folder = program, folder
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0

    async def start(self) -> None:
        """Start it, on a free port or on the one that it had.

        Raises:
            CannotJudge: it does not start.
        """
        for _ in range(1 if self.port else TRIES):
            with listening_socket(self.port) as free:
                port = free.getsockname()[1]
            options = f"--port {port} --bind 127.0.0.1 --appendonly yes --appendfsync always --save"
            self._process = await asyncio.create_subprocess_exec(
                self._program,
                *options.split(),
                "",
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            if await self._ready(self._process):
                self.port = port
                return
            await self.stop()
        raise CannotJudge("redis-server is on this machine, but does not start.")

    async def _ready(self, process: asyncio.subprocess.Process) -> bool:
        assert process.stdout
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REDIS_DEADLINE):
                while line := await process.stdout.readline():
                    if b"eady to accept connections" in line:
                        return True
        return False

    async def stop(self) -> None:
        """End it, once it has written everything."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(REDIS_DEADLINE):
                await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            await self._process.communicate()

    async def restart(self) -> None:
        """See `Broker`."""
        await self.stop()
        await self.start()


@asynccontextmanager
async def redis() -> AsyncIterator[Redis | None]:
    """Redis, for one exercise; None where there is no redis-server, or an old one."""
    program = shutil.which("redis-server")
    if program is None or await _version(program) < OLDEST_REDIS:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="wirelab-redis-", ignore_cleanup_errors=True) as folder:
        broker = Redis(program, folder)
        try:
            await broker.start()
            yield broker
        finally:
            await broker.stop()


async def _version(program: str) -> int:
    process = await asyncio.create_subprocess_exec(program, "--version", stdout=asyncio.subprocess.PIPE)
    said = (await process.communicate())[0].decode(errors="replace")
    found = re.search(r"v=(\d+)", said)
    return int(found[1]) if found else 0
