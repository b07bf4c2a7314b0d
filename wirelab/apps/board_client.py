"""A client that mirrors a board: a dictionary of todos that follows the one on the server.

    python -m wirelab.apps.board_client http://127.0.0.1:8008

In a notebook::

    async with mirror(server.http) as board:
        board.todos             # {1: {"id": 1, "task": "Learn REST", "status": "Done"}, ...}
        await board.until(lambda: len(board.todos) == 5)

It listens first and gets the snapshot then, so no change falls between the two. It comes back by itself after a
broken or silent connection, with a new snapshot, as it takes one after a gap in the numbers or a new epoch.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

BASE_URL = "http://127.0.0.1:8008"
TIMEOUT = 5.0  # seconds for a handshake or a snapshot
# A socket that has been silent for so many heartbeats is given up.
PATIENCE = 3
# Seconds: the longest wait before the first try to come back; it doubles with each one, up to the longest of all.
FIRST_DELAY, LONGEST_DELAY = 0.25, 10.0

Todo: TypeAlias = dict[str, Any]

TROUBLE = (OSError, TimeoutError, ValueError, KeyError, TypeError, WebSocketException, httpx2.HTTPError)


class Mirror:
    """A board as it was when something was last heard of it.

    Attributes:
        todos: the todos by id.
        epoch, seq: the last change that is in them; before the first snapshot the epoch is empty.
        people: the names of those who look at it.
        live: whether the connection stands and the todos are all that was heard of.
        heard_at: when the last message came, in `time.monotonic` seconds; None before the first.
        snapshots: how many snapshots were taken.
    """

    def __init__(self) -> None:
        self.todos: dict[int, Todo] = {}
        self.epoch = ""
        self.seq = 0
        self.people: list[str] = []
        self.live = False
        self.heard_at: float | None = None
        self.snapshots = 0
        self._news = asyncio.Event()
        self._longest = FIRST_DELAY
        self._fault: Exception | None = None

    async def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait until a condition holds.

        Raises:
            TimeoutError: it does not hold after so many seconds.
            Exception: what has ended the mirror.
        """
        async with asyncio.timeout(seconds):
            while not condition():
                await self._something_new()

    async def changes(self) -> AsyncIterator[None]:
        """Yield whenever something is new, without end.

        Raises:
            Exception: what has ended the mirror.
        """
        while True:
            yield
            await self._something_new()

    async def _something_new(self) -> None:
        if self._fault:
            raise self._fault
        await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _load(self, snapshot: dict[str, Any]) -> None:
        todos = {todo["id"]: todo for todo in snapshot["todos"]}
        self.epoch, self.seq, self.people = snapshot["epoch"], snapshot["seq"], snapshot["people"]
        # The same dictionary: whoever holds it sees the new todos.
        self.todos.clear()
        self.todos.update(todos)
        self.snapshots += 1

    def _take(self, message: dict[str, Any]) -> bool:
        """Take a message; return False if it tells of a change that is not known here."""
        if message["epoch"] != self.epoch:
            return False
        self.people = message.get("people", self.people)
        if message["seq"] <= self.seq:
            return True
        if message["seq"] > self.seq + 1 or "todo" not in message:
            return False
        if message["todo"] is None:
            self.todos.pop(message["id"], None)
        else:
            self.todos[message["id"]] = message["todo"]
        self.seq = message["seq"]
        return True

    async def _follow(self, socket: ClientConnection, fetch: Callable[[], Any]) -> None:
        patience = TIMEOUT
        while True:
            async with asyncio.timeout(patience):
                message = json.loads(await socket.recv())
            self.heard_at = time.monotonic()
            if "heartbeat" in message:
                patience = PATIENCE * message["heartbeat"]
            if not self._take(message):
                # What was heard of is not held yet.
                self.live = False
                self._tell()
                # The socket goes on listening meanwhile: what comes now is taken, or dropped, after the snapshot.
                self._load(await fetch())
            self.live, self._longest = True, FIRST_DELAY
            self._tell()


@asynccontextmanager
async def mirror(base_url: str = BASE_URL, name: str = "") -> AsyncIterator[Mirror]:
    """Follow a board until the block ends. It may begin before the first snapshot is there.

    Args:
        base_url: of a board.
        name: under which to be one of the board's people, if it is not empty.

    Raises:
        ValueError: the address is none.
    """
    board = Mirror()
    following = asyncio.create_task(_keep_following(board, checked(base_url), name))
    try:
        yield board
    finally:
        following.cancel()
        await asyncio.wait([following])


def checked(base_url: str) -> str:
    """The base URL of a board, without a slash at the end.

    Raises:
        ValueError: it is none.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(str(base_url))
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return str(base_url).rstrip("/")
    raise ValueError(f"A board's address begins with http:// or https://, as in {BASE_URL}; this is {base_url!r}")


async def _keep_following(board: Mirror, base_url: str, name: str) -> None:
    try:
        await _come_back(board, base_url, name)
    except Exception as fault:
        board.live, board._fault = False, fault
        board._tell()


async def _come_back(board: Mirror, base_url: str, name: str) -> None:
    uri = "ws" + base_url.removeprefix("http") + "/updates"
    # A proxy that the system is set to use could not reach a server on this machine.
    async with httpx2.AsyncClient(base_url=base_url, timeout=TIMEOUT, trust_env=False) as client:

        async def fetch() -> Any:
            answer = await client.get("/board")
            return answer.raise_for_status().json()

        while True:
            with contextlib.suppress(*TROUBLE):
                async with connect(uri, proxy=None, open_timeout=TIMEOUT, close_timeout=1) as socket:
                    if name:
                        await socket.send(json.dumps({"name": name}))
                    await board._follow(socket, fetch)
            board.live = False
            board._tell()
            # Anywhere in the span: clients that were cut off together shall not come back together.
            await asyncio.sleep(random.uniform(0, board._longest))
            board._longest = min(2 * board._longest, LONGEST_DELAY)


async def watch(base_url: str) -> None:
    """Print the board whenever it changes."""
    async with mirror(base_url) as board:
        shown = ""
        async for _ in board.changes():
            lines = [f"{todo['id']:>4}  {todo['status']:<12} {todo['task']}" for todo in board.todos.values()]
            state = f"{len(lines)} todos, live" if board.live else "not up to date"
            text = "\n".join([f"--- {state}", *lines])
            if text != shown:
                print(text, flush=True)
                shown = text


def main() -> int:
    """Watch a board from a shell; return the exit status."""
    parser = argparse.ArgumentParser(description="Print a board of todos whenever it changes.")
    parser.add_argument("base_url", nargs="?", default=BASE_URL)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(watch(options.base_url))
        except ValueError as no_address:
            print(no_address, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
