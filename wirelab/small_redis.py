"""A stand-in for Redis: the few commands that chat rooms need, over the protocol that Redis speaks.

What works here works with a real server: only the address differs. It knows streams (XADD, XRANGE, XREVRANGE,
XREAD, XLEN), publish and subscribe, lists (RPUSH, LRANGE, LLEN, LTRIM), and INCR, GET, SET, DEL, EXISTS; no
scripts, no transactions, no passwords. Everything is in memory, for as long as its `Store` lives: a server that
starts anew on the same store is like a Redis that has written everything to its disk.

The protocol is RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/), in its versions 2 and 3: an
array of strings asks, a value of one of a few types answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from ._background import EngineThread
from .serving import Server, launch

# Bytes of one string, and strings of one request.
LONGEST, MOST = 2**20, 1024
# Seconds after which a client that waits for an entry is looked at: it may have gone.
LOOK = 0.5

Id = tuple[int, int]
FIRST: Id = (0, 0)
LAST: Id = (2**64 - 1, 2**64 - 1)


class Refused(Exception):
    """A request is wrong. Its text is what Redis would say."""


class Simple(str):
    """A status, such as OK."""


class Entry(NamedTuple):
    """An entry of a stream: names and values of its fields, one after the other."""

    id: Id
    fields: list[str]


class Store:
    """What a server keeps.

    Attributes:
        late: seconds that a command takes, by its name: half of them before it is done, half before its answer.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.streams: defaultdict[str, list[Entry]] = defaultdict(list)
        self.last_ids: defaultdict[str, Id] = defaultdict(lambda: FIRST)
        self.lists: defaultdict[str, list[str]] = defaultdict(list)
        self.values: dict[str, str] = {}
        self.late: Mapping[str, float] = {}
        self._change = asyncio.Event()

    def changed(self) -> None:
        """Wake who waits for a new entry."""
        self._change.set()
        self._change = asyncio.Event()

    async def change(self, seconds: float) -> None:
        """Wait for a new entry, or for so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._change.wait()


class SmallRedisServer:
    """The server, native to asyncio.

    Args:
        store: what it keeps; shared with who served it before.
    """

    def __init__(self, store: Store) -> None:
        """Use `start`."""
        self.store = store
        self._server: asyncio.Server | None = None
        self._clients: dict[_Client, asyncio.Task[None]] = {}

    async def start(self, sock: socket.socket) -> None:
        """Serve on a listening socket."""
        self._server = await asyncio.start_server(self._serve, sock=sock, limit=LONGEST)

    async def stop(self) -> None:
        """Drop every client; what is kept stays in the store."""
        if self._server:
            self._server.close()
        tasks = list(self._clients.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client, task = _Client(self, reader, writer), asyncio.current_task()
        assert task
        self._clients[client] = task
        try:
            await client.serve()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Gone, or it does not speak the protocol, or the server stops.
            pass
        finally:
            del self._clients[client]
            writer.transport.abort()

    def publish(self, channel: str, text: str) -> int:
        """Tell all who have subscribed; return how many."""
        return sum(client.told(channel, text) for client in list(self._clients))


class _Client:
    """One connection."""

    def __init__(
        self, server: SmallRedisServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server, self._store = server, server.store
        self._reader, self._writer = reader, writer
        self._channels: list[str] = []
        self._patterns: list[str] = []
        self._resp3 = False

    async def serve(self) -> None:
        """Answer until it hangs up.

        Raises:
            OSError, IncompleteReadError: it has gone.
            ValueError: it does not speak the protocol.
        """
        while True:
            name, *args = await self._request()
            name = name.upper()
            late = self._store.late.get(name, 0) / 2
            await asyncio.sleep(late)
            try:
                answer = await self._answer(name, args)
            except Refused as fault:
                answer = fault
            except (IndexError, ValueError):
                answer = Refused(f"ERR wrong arguments for '{name.lower()}'")
            await asyncio.sleep(late)
            self._writer.write(encoded(answer, self._resp3))
            await self._writer.drain()

    async def _request(self) -> list[str]:
        count = int((await self._line(b"*"))[:9])
        if not 0 < count <= MOST:
            raise ValueError(count)
        strings = []
        for _ in range(count):
            length = int((await self._line(b"$"))[:9])
            if not 0 <= length <= LONGEST:
                raise ValueError(length)
            strings.append((await self._reader.readexactly(length + 2))[:-2].decode(errors="surrogateescape"))
        return strings

    async def _line(self, kind: bytes) -> bytes:
        line = await self._reader.readuntil(b"\r\n")
        if line[:1] != kind:
            raise ValueError(line)
        return line[1:-2]

    async def _answer(self, name: str, args: list[str]) -> Any:
        if name == "HELLO":
            return self._hello(args)
        if name == "XREAD":
            return await self._xread(args)
        if name in ("SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE"):
            return self._subscribe(name, args)
        if name == "PUBLISH":
            return self._server.publish(args[0], args[1])
        if name not in COMMANDS:
            raise Refused(f"ERR unknown command '{name.lower()}': this stand-in knows only a few")
        return COMMANDS[name](self._store, args)

    def _hello(self, args: list[str]) -> Any:
        if args and args[0] not in ("2", "3"):
            raise Refused("NOPROTO unsupported protocol version")
        self._resp3 = args[:1] == ["3"] or (self._resp3 and not args)
        return {"server": "redis", "version": "7.0.0", "proto": 2 + self._resp3, "mode": "standalone"}

    def told(self, channel: str, text: str) -> int:
        """Tell it of a message, if it has subscribed; how often."""
        patterns = [pattern for pattern in self._patterns if fnmatchcase(channel, pattern)]
        told = [["message", channel, text]] * (channel in self._channels)
        told += [["pmessage", pattern, channel, text] for pattern in patterns]
        for message in told:
            self._writer.write(encoded(Push(message), self._resp3))
        return len(told)

    def _subscribe(self, name: str, args: list[str]) -> Any:
        names = self._patterns if name.startswith("P") else self._channels
        answers: list[Any] = []
        for one in args or list(names):
            if name.endswith("UNSUBSCRIBE"):
                if one in names:
                    names.remove(one)
            elif one not in names:
                names.append(one)
            answers.append(Push([name.lower(), one, len(self._channels) + len(self._patterns)]))
        return Several(answers or [Push([name.lower(), None, len(self._channels) + len(self._patterns)])])

    async def _xread(self, args: list[str]) -> Any:
        words = [word.upper() for word in args]
        place = words.index("STREAMS")
        count = int(args[words.index("COUNT") + 1]) if "COUNT" in words[:place] else None
        keys, ids = args[place + 1 :], args[place + 1 :]
        keys, ids = keys[: len(keys) // 2], ids[len(ids) // 2 :]
        after = [self._store.last_ids[k] if id == "$" else id_from(id) for k, id in zip(keys, ids, strict=True)]
        wait = int(args[words.index("BLOCK") + 1]) / 1000 if "BLOCK" in words[:place] else None
        clock = asyncio.get_running_loop().time
        due = clock() + wait if wait else float("inf")
        while True:
            found = Pairs()
            for key, last in zip(keys, after, strict=True):
                if new := [entry for entry in self._store.streams[key] if entry.id > last]:
                    found[key] = shown(new[:count])
            if found or wait is None or clock() >= due:
                return found or Nothing()
            await self._store.change(min(due - clock(), LOOK))
            if self._reader.at_eof():
                raise ConnectionResetError


class Nothing:
    """No array."""


class Pairs(dict[str, Any]):
    """Names and values, which version 2 tells as an array of pairs."""


class Push(list[Any]):
    """What was not asked for."""


class Several(list[Any]):
    """Answers that come one after the other."""


def encoded(answer: Any, resp3: bool) -> bytes:
    """An answer as bytes, in version 3 of the protocol or in version 2."""
    match answer:
        case Several():
            return b"".join(encoded(one, resp3) for one in answer)
        case None | Nothing() if resp3:
            return b"_\r\n"
        case Refused():
            return f"-{answer}\r\n".encode()
        case Nothing():
            return b"*-1\r\n"
        case None:
            return b"$-1\r\n"
        case Simple():
            return f"+{answer}\r\n".encode()
        case int():
            return f":{answer}\r\n".encode()
        case str():
            text = answer.encode(errors="surrogateescape")
            return b"$%d\r\n%s\r\n" % (len(text), text)
    parts, sign, count = list(answer), b"*", len(answer)
    if isinstance(answer, Pairs) and not resp3:
        parts = [list(pair) for pair in answer.items()]
    elif isinstance(answer, dict):
        parts = [part for pair in answer.items() for part in pair]
        sign, count = (b"%", count) if resp3 else (b"*", 2 * count)
    elif isinstance(answer, Push) and resp3:
        sign = b">"
    return b"%s%d\r\n" % (sign, count) + b"".join(encoded(part, resp3) for part in parts)


def id_from(text: str, rest: int = 0) -> Id:
    """An entry's id as it is written, ``7-3``; or ``7``, with `rest` as its second part.

    Raises:
        Refused: it is none.
    """
    first, _, second = text.partition("-")
    try:
        return int(first), int(second) if second else rest
    except ValueError:
        raise Refused("ERR Invalid stream ID specified as stream command argument") from None


def limit_from(text: str, rest: int) -> tuple[Id, bool]:
    """One end of a range of ids, and whether it belongs to the range."""
    if text in ("-", "+"):
        return (FIRST if text == "-" else LAST), True
    return id_from(text.removeprefix("("), rest), not text.startswith("(")


def shown(entries: Iterable[Entry]) -> list[Any]:
    """Entries as they are answered."""
    return [[f"{id[0]}-{id[1]}", fields] for id, fields in entries]


def xadd(store: Store, args: list[str]) -> str:
    """Append an entry; ``XADD key [MAXLEN [=|~] count] id field value …``; the id may be ``*`` or ``7-*``."""
    key, *rest = args
    longest = None
    if rest[0].upper() == "MAXLEN":
        rest = rest[2:] if rest[1] in ("=", "~") else rest[1:]
        longest, rest = int(rest[0]), rest[1:]
    asked, *fields = rest
    last = store.last_ids[key]
    if asked == "*":
        now = time.time_ns() // 1_000_000
        id = (now, 0) if now > last[0] else (last[0], last[1] + 1)
    elif asked.endswith("-*"):
        first = int(asked[:-2])
        id = (first, last[1] + 1 if first == last[0] else 0)
    else:
        id = id_from(asked)
    if id <= last:
        raise Refused("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    if not fields or len(fields) % 2:
        raise Refused("ERR wrong number of arguments for 'xadd' command")
    store.streams[key].append(Entry(id, fields))
    store.last_ids[key] = id
    if longest is not None:
        del store.streams[key][: -longest or None]
    store.changed()
    return f"{id[0]}-{id[1]}"


def xrange(store: Store, args: list[str], *, backwards: bool = False) -> list[Any]:
    """A range of entries; ``XRANGE key start end [COUNT count]``, XREVRANGE with the ends exchanged."""
    key, start, end, *more = args
    if backwards:
        start, end = end, start
    (low, with_low), (high, with_high) = limit_from(start, 0), limit_from(end, LAST[1])
    found = [
        entry
        for entry in store.streams[key]
        if low <= entry.id <= high and (with_low or entry.id > low) and (with_high or entry.id < high)
    ]
    return shown((found[::-1] if backwards else found)[: int(more[1]) if more else None])


def rpush(store: Store, args: list[str]) -> int:
    """Append to a list, and return how long it is."""
    store.lists[args[0]] += args[1:]
    return len(store.lists[args[0]])


def lrange(store: Store, args: list[str]) -> list[str]:
    """A part of a list, both ends included; negative places count from its end."""
    values, start, end = store.lists[args[0]], int(args[1]), int(args[2])
    start, end = (max(place + len(values), 0) if place < 0 else place for place in (start, end))
    return values[start : end + 1]


def ltrim(store: Store, args: list[str]) -> Simple:
    """Keep a part of a list."""
    store.lists[args[0]] = lrange(store, args)
    return Simple("OK")


def incr(store: Store, args: list[str]) -> int:
    """Count up; ``INCRBY key by`` too."""
    number = int(store.values.get(args[0], "0")) + int(args[1] if len(args) > 1 else 1)
    store.values[args[0]] = str(number)
    return number


def set_value(store: Store, args: list[str]) -> Simple | None:
    """Set a value; ``NX`` only where there is none, and other options are not known."""
    options = [word.upper() for word in args[2:]]
    if options not in ([], ["NX"]):
        raise Refused("ERR syntax error")
    if options and args[0] in store.values:
        return None
    store.values[args[0]] = args[1]
    return Simple("OK")


def exists(store: Store, args: list[str]) -> int:
    """How many of these keys there are."""
    return sum(bool(store.values.get(key) or store.streams.get(key) or store.lists.get(key)) for key in args)


def delete(store: Store, args: list[str]) -> int:
    """Forget keys, and return how many there were."""
    count = exists(store, args)
    for key in args:
        for kept in (store.values, store.streams, store.last_ids, store.lists):
            kept.pop(key, None)
    return count


COMMANDS: dict[str, Callable[[Store, list[str]], Any]] = {
    "PING": lambda _, args: args[0] if args else Simple("PONG"),
    "SELECT": lambda *_: Simple("OK"),
    "CLIENT": lambda *_: Simple("OK"),
    "QUIT": lambda *_: Simple("OK"),
    "XADD": xadd,
    "XRANGE": xrange,
    "XREVRANGE": lambda store, args: xrange(store, args, backwards=True),
    "XLEN": lambda store, args: len(store.streams[args[0]]),
    "RPUSH": rpush,
    "LRANGE": lrange,
    "LTRIM": ltrim,
    "LLEN": lambda store, args: len(store.lists[args[0]]),
    "INCR": incr,
    "INCRBY": incr,
    "GET": lambda store, args: store.values.get(args[0]),
    "SET": set_value,
    "EXISTS": exists,
    "DEL": delete,
}


class SmallRedis(Server):
    """The stand-in behind a notebook, as `serve` runs a server: it is stopped by `with`, `stop` or `stop_all`.

    Run its cell again and the new one takes the place of the old one.

    Args:
        port: TCP port; 0 takes a free one.

    Attributes:
        url: ``redis://127.0.0.1:PORT``.

    Raises:
        ServeError: the port is taken.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__("small Redis", EngineThread("small Redis", lambda _: _Engine()))
        launch(self, port, explicit=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}"


class _Engine(SmallRedisServer):
    """The server as what a server's thread runs; see `_engines.Engine`."""

    scheme_suffix = ""

    def __init__(self) -> None:
        super().__init__(Store())

    async def tick(self) -> None:
        """Nothing to do."""
