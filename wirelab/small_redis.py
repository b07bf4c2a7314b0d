"""A stand-in for Redis: the few commands that chat rooms need, over the protocol that Redis speaks.

What works here works with a real server: only the address differs. It knows streams (XADD, XRANGE, XREVRANGE,
XREAD, XLEN), publish and subscribe, lists (RPUSH, LRANGE, LLEN, LTRIM), sorted sets (ZADD, ZCARD, ZRANGE,
ZREVRANGE, ZRANGEBYSCORE), hashes (HSET, HGET, HGETALL, HINCRBY), INCR, INCRBY, GET, SET, DEL, EXISTS, and
transactions (MULTI, EXEC, DISCARD); no scripts, no WATCH, no passwords. Everything is in memory, as long as its
`Store` lives: a server that starts anew on the same store is like a Redis that has written everything to its disk.

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
from typing import Any, NamedTuple, TypeVar

from ._background import EngineThread
from .serving import Server, launch

# Bytes of one string, and strings of one request.
LONGEST, MOST = 2**20, 1024
# Seconds after which a client that waits for an entry is looked at: it may have gone.
LOOK = 0.5

T = TypeVar("T")
Id = tuple[int, int]
FIRST: Id = (0, 0)
LAST: Id = (2**64 - 1, 2**64 - 1)


class Refused(Exception):
    """A request is wrong. Its text is what Redis would say."""


class Unknown(Refused):
    """A request that Redis takes and this stand-in does not know."""


# What goes wrong with a request, and costs nobody the connection.
FAULTS = (Refused, IndexError, ValueError)


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
        unknown: what was answered to requests that Redis would have taken.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.streams: defaultdict[str, list[Entry]] = defaultdict(list)
        self.last_ids: defaultdict[str, Id] = defaultdict(lambda: FIRST)
        self.lists: defaultdict[str, list[str]] = defaultdict(list)
        self.sorted: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self.hashes: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.values: dict[str, str] = {}
        self.late: Mapping[str, float] = {}
        self.unknown: list[str] = []
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
        # What waits for EXEC, if MULTI came; and whether one of these was refused.
        self._queued: list[tuple[str, list[str]]] | None = None
        self._spoiled = False

    async def serve(self) -> None:
        """Answer until it hangs up.

        Raises:
            OSError, IncompleteReadError: it has gone.
            ValueError: it does not speak the protocol.
        """
        while True:
            name, *args = await self._request()
            name = name.upper()
            late = self._late(name) / 2
            await asyncio.sleep(late)
            answer = await self._reply(name, args)
            await asyncio.sleep(late)
            self._writer.write(encoded(answer, self._resp3))
            await self._writer.drain()

    def _late(self, name: str) -> float:
        """Seconds that a command takes: a transaction as long as the slowest in it."""
        if self._queued is None:
            return self._store.late.get(name, 0)
        return max((self._store.late.get(one, 0) for one, _ in self._queued if name == "EXEC"), default=0)

    async def _reply(self, name: str, args: list[str]) -> Any:
        """An answer, or why there is none."""
        try:
            if name in ("MULTI", "EXEC", "DISCARD"):
                return self._transact(name)
            if self._queued is not None:
                return self._queue(name, args)
            return await self._answer(name, args)
        except FAULTS as fault:
            return self._refusal(name, fault)

    def _refusal(self, name: str, fault: Exception) -> Refused:
        if isinstance(fault, Unknown):
            self._store.unknown.append(str(fault))
        return fault if isinstance(fault, Refused) else Refused(f"ERR wrong arguments for '{name.lower()}'")

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
        return self._do(name, args)

    def _do(self, name: str, args: list[str]) -> Any:
        """Answer what is done at once."""
        if name == "PUBLISH":
            return self._server.publish(args[0], args[1])
        return _known(name)(self._store, args)

    def _queue(self, name: str, args: list[str]) -> Simple:
        """Keep a command until EXEC comes."""
        assert self._queued is not None
        try:
            if name != "PUBLISH":
                _known(name)
        except Unknown:
            self._spoiled = True
            raise
        self._queued.append((name, args))
        return Simple("QUEUED")

    def _transact(self, name: str) -> Any:
        """Begin a transaction, or end it; all of it is done in one instant, and what fails in it stops nothing."""
        if (self._queued is None) is not (name == "MULTI"):
            raise Refused("ERR MULTI calls can not be nested" if name == "MULTI" else f"ERR {name} without MULTI")
        queued, spoiled = self._queued or [], self._spoiled
        self._queued, self._spoiled = [] if name == "MULTI" else None, False
        if name != "EXEC":
            return Simple("OK")
        if spoiled:
            raise Refused("EXECABORT Transaction discarded because of previous errors.")
        return [self._done(*one) for one in queued]

    def _done(self, name: str, args: list[str]) -> Any:
        try:
            return self._do(name, args)
        except FAULTS as fault:
            return self._refusal(name, fault)

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


class Scores(list[tuple[str, float]]):
    """Members with their scores, which version 2 tells one after the other."""


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
        case float() if resp3:
            return b",%.17g\r\n" % answer
        case float():
            return encoded(f"{answer:.17g}", resp3)
        case Scores() if not resp3:
            return encoded([part for pair in answer for part in pair], resp3)
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
    return part_of(store.lists[args[0]], int(args[1]), int(args[2]))


def part_of(values: list[T], start: int, end: int) -> list[T]:
    """A part of what has an order; see `lrange`."""
    start, end = (place + len(values) if place < 0 else place for place in (start, end))
    return values[max(start, 0) : max(end + 1, 0)]


def ltrim(store: Store, args: list[str]) -> Simple:
    """Keep a part of a list."""
    store.lists[args[0]] = lrange(store, args)
    return Simple("OK")


def zadd(store: Store, args: list[str]) -> int:
    """Give members a score; ``ZADD key score member …``. Returns how many are new."""
    key, *pairs = args
    if pairs[0].upper() in ("NX", "XX", "GT", "LT", "CH", "INCR"):
        raise Unknown(f"ERR syntax error: this stand-in knows ZADD without {pairs[0]}")
    scores = dict(zip(pairs[1::2], map(float, pairs[::2]), strict=True))
    before = len(store.sorted[key])
    store.sorted[key] |= scores
    return len(store.sorted[key]) - before


def in_order(store: Store, key: str) -> Scores:
    """The members of a sorted set, the lowest score first."""
    return Scores(sorted(store.sorted[key].items(), key=lambda pair: (pair[1], pair[0])))


def scored(found: Iterable[tuple[str, float]], options: list[str]) -> Any:
    """Members as they are answered; of the options, ``WITHSCORES`` is known."""
    words = [word.upper() for word in options]
    if words not in ([], ["WITHSCORES"]):
        raise Unknown(f"ERR syntax error: this stand-in does not know {words[0]} here")
    return Scores(found) if words else [member for member, _ in found]


def zrange(store: Store, args: list[str], *, backwards: bool = False) -> Any:
    """A part of a sorted set, both ends included; negative places count from its end."""
    key, start, end, *options = args
    found = in_order(store, key)[:: -1 if backwards else 1]
    return scored(part_of(found, int(start), int(end)), options)


def zrangebyscore(store: Store, args: list[str]) -> Any:
    """The members with these scores; ``ZRANGEBYSCORE key least most``, ``(`` for a limit that does not belong."""
    key, least, most, *options = args
    low, high = float(least.removeprefix("(")), float(most.removeprefix("("))
    found = [
        (member, score)
        for member, score in in_order(store, key)
        if low <= score <= high
        and (score > low or not least.startswith("("))
        and (score < high or not most.startswith("("))
    ]
    return scored(found, options)


def hset(store: Store, args: list[str]) -> int:
    """Set fields of a hash; ``HSET key field value …``. Returns how many are new."""
    key, *pairs = args
    before = len(store.hashes[key])
    store.hashes[key] |= dict(zip(pairs[::2], pairs[1::2], strict=True))
    return len(store.hashes[key]) - before


def hincrby(store: Store, args: list[str]) -> int:
    """Count a field of a hash up; ``HINCRBY key field by``."""
    number = int(store.hashes[args[0]].get(args[1], "0")) + int(args[2])
    store.hashes[args[0]][args[1]] = str(number)
    return number


def incr(store: Store, args: list[str]) -> int:
    """Count up; ``INCRBY key by`` too."""
    number = int(store.values.get(args[0], "0")) + int(args[1] if len(args) > 1 else 1)
    store.values[args[0]] = str(number)
    return number


def set_value(store: Store, args: list[str]) -> Simple | None:
    """Set a value; ``NX`` only where there is none, and other options are not known."""
    options = [word.upper() for word in args[2:]]
    if options not in ([], ["NX"]):
        raise Unknown("ERR syntax error: of the options of SET, this stand-in knows NX")
    if options and args[0] in store.values:
        return None
    store.values[args[0]] = args[1]
    return Simple("OK")


def exists(store: Store, args: list[str]) -> int:
    """How many of these keys there are."""
    kinds = (store.values, store.streams, store.lists, store.sorted, store.hashes)
    return sum(any(kept.get(key) for kept in kinds) for key in args)


def delete(store: Store, args: list[str]) -> int:
    """Forget keys, and return how many there were."""
    count = exists(store, args)
    for key in args:
        for kept in (store.values, store.streams, store.last_ids, store.lists, store.sorted, store.hashes):
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
    "ZADD": zadd,
    "ZCARD": lambda store, args: len(store.sorted[args[0]]),
    "ZRANGE": zrange,
    "ZREVRANGE": lambda store, args: zrange(store, args, backwards=True),
    "ZRANGEBYSCORE": zrangebyscore,
    "HSET": hset,
    "HGET": lambda store, args: store.hashes[args[0]].get(args[1]),
    "HGETALL": lambda store, args: store.hashes[args[0]],
    "HINCRBY": hincrby,
    "INCR": incr,
    "INCRBY": incr,
    "GET": lambda store, args: store.values.get(args[0]),
    "SET": set_value,
    "EXISTS": exists,
    "DEL": delete,
}


def _known(name: str) -> Callable[[Store, list[str]], Any]:
    """What does a command.

    Raises:
        Unknown: nothing does.
    """
    if name not in COMMANDS:
        raise Unknown(f"ERR unknown command '{name.lower()}': this stand-in knows only a few")
    return COMMANDS[name]


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
