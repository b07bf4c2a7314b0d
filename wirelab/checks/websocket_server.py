"""WebSocket servers that a check plays to a learner's client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from wirelab.checks import NotStarted, RemoteError, RemoteIterator, Target
from wirelab.checks.evidence import FunctionSubject, News

# Seconds until a client that was told to stop has done so.
STOP_DEADLINE = 1.0
# Bytes of the longest message.
MESSAGE_LIMIT = 65_536


@asynccontextmanager
async def played(
    handler: Callable[[ServerConnection], Awaitable[None]],
    sock: socket.socket,
    *,
    close_timeout: float = STOP_DEADLINE,
    **options: Any,
) -> AsyncIterator[None]:
    """Serve with a handler; in the end, end every connection without a close frame.

    Args:
        handler: has each connection.
        sock: listens.
        close_timeout: seconds until a closing handshake is given up.
        options: go to ``websockets.asyncio.server.serve``.
    """
    async with serve(
        handler,
        sock=sock,
        compression=None,
        ping_interval=None,
        close_timeout=close_timeout,
        max_size=MESSAGE_LIMIT,
        **options,
    ) as server:
        try:
            yield
        finally:
            for connection in server.connections:
                connection.transport.abort()


class PlayedServer(FunctionSubject, ABC):
    """A server that a check plays to an async generator, each call of which gets a path of its own."""

    def __init__(self, target: Target, uri: str) -> None:
        """Use `open`."""
        super().__init__(target)
        self._uri = uri
        self._news = News()

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncIterator[Self]:
        """For one exercise."""
        sock = await target.listen()
        stage = cls(target, f"ws://127.0.0.1:{sock.getsockname()[1]}")
        async with played(stage._receive, sock, process_request=stage._handshake):
            yield stage

    def _handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        """What a handshake is answered with, if not with an open connection."""

    @abstractmethod
    async def _receive(self, connection: ServerConnection) -> None:
        """Take what comes over a connection until it ends."""

    async def _is_stub(self, name: str, *args: Any, seconds: float) -> bool:
        """Whether calling a generator gives NotImplementedError, as a stub does that has no ``yield`` yet."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                try:
                    await self._target.call(name, self._uri, *args)
                except RemoteError as error:
                    return error.names[0] == "NotImplementedError"
        return False


async def stop(client: RemoteIterator) -> None:
    """Close a generator, or give it up if that takes long."""
    with contextlib.suppress(RemoteError, NotStarted, TimeoutError):
        async with asyncio.timeout(STOP_DEADLINE):
            await client.aclose()
