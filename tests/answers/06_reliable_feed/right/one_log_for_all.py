"""One bounded log for each symbol, which every member follows at its own pace; one heartbeat for all; a client that
reads in the background and hands over through a queue."""

import asyncio
import contextlib
import itertools
import json
import random
from collections import deque

from websockets import ConnectionClosed, WebSocketException
from websockets.asyncio.client import connect
from websockets.frames import CloseCode

BEHIND = 32
PULSE = 1.0


class Room:
    def __init__(self):
        self.log = deque(maxlen=BEHIND)
        self.seq = random.randrange(1000)
        self.changed = asyncio.Event()

    def add(self, symbol, data):
        self.seq += 1
        self.log.append(
            (self.seq, json.dumps({"data": data, "seq": self.seq, "symbol": symbol, "type": "update"}))
        )
        self.changed.set()
        self.changed = asyncio.Event()

    async def follow(self, member, seq):
        try:
            while True:
                while seq == self.seq:
                    await self.changed.wait()
                if self.log[0][0] > seq + 1:
                    return await member.drop()
                seq += 1
                await member.socket.send(next(text for number, text in self.log if number == seq))
        except ConnectionClosed:
            pass


class Member:
    everybody = set()

    def __init__(self, socket):
        self.socket = socket
        self.follows = {}
        self.pong = None

    async def drop(self):
        for task in self.follows.values():
            if task is not asyncio.current_task():
                task.cancel()
        await self.socket.close(4008, "too slow")

    def leave(self, symbol):
        if symbol in self.follows:
            self.follows.pop(symbol).cancel()


rooms_by_symbol = {}
watcher = None


def room(symbol):
    return rooms_by_symbol.setdefault(symbol, Room())


async def watch_all():
    while True:
        await asyncio.sleep(PULSE)
        for member in list(Member.everybody):
            if member.pong and not member.pong.done():
                member.socket.transport.abort()
            elif not member.socket.transport.get_write_buffer_size():
                with contextlib.suppress(ConnectionClosed):
                    member.pong = await member.socket.ping()
                    member.pong.add_done_callback(lambda pong: pong.cancelled() or pong.exception())


def respond(member, text):
    try:
        request = json.loads(text)
        kind, symbol = request["type"], request["symbol"]
        if not isinstance(symbol, str) or not symbol:
            raise ValueError("a symbol is a text")
        if kind == "subscribe":
            member.leave(symbol)
            seq = room(symbol).seq
            return symbol, {"type": "subscribed", "symbol": symbol, "seq": seq}
        if kind == "unsubscribe":
            member.leave(symbol)
            return None, {"type": "unsubscribed", "symbol": symbol}
        if kind == "publish":
            room(symbol).add(symbol, request["data"])
            return None, {"type": "published", "symbol": symbol, "seq": room(symbol).seq}
    except (ValueError, KeyError, TypeError) as problem:
        return None, {"type": "error", "error": repr(problem)}
    return None, {"type": "error", "error": f"What is {kind!r}?"}


async def rooms(socket):
    global watcher
    watcher = watcher or asyncio.ensure_future(watch_all())
    if json.loads(await socket.recv()).get("token") != "workshop":
        await socket.send('{"type": "error", "error": "wrong token"}')
        return await socket.close(1008)
    await socket.send('{"type": "welcome"}')
    member = Member(socket)
    Member.everybody.add(member)
    try:
        async for text in socket:
            follow, answer = respond(member, text)
            await socket.send(json.dumps(answer))
            if follow is not None:
                member.follows[follow] = asyncio.ensure_future(room(follow).follow(member, answer["seq"]))
    except ConnectionClosed:
        pass
    finally:
        Member.everybody.discard(member)
        for symbol in list(member.follows):
            member.leave(symbol)


class Follower:
    def __init__(self, uri, token, symbols):
        self.uri, self.token = uri, token
        self.last = dict.fromkeys(symbols)
        self.news = asyncio.Queue()

    async def run(self):
        clock = asyncio.get_running_loop().time
        bounds = self.bounds()
        try:
            while True:
                begun = clock()
                with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                    if await self.once() == CloseCode.POLICY_VIOLATION:
                        return
                if clock() - begun > 1:
                    bounds = self.bounds()
                bound = next(bounds)
                await asyncio.sleep(bound / 2 + random.random() * bound / 2)
        finally:
            self.news.put_nowait(None)

    @staticmethod
    def bounds():
        return (min(1.0, 0.05 * 2**power) for power in itertools.count())

    async def once(self):
        async with connect(self.uri, proxy=None, ping_interval=0.8, ping_timeout=0.8, close_timeout=0.2) as socket:
            await socket.send(json.dumps({"type": "hello", "token": self.token}))
            if json.loads(await socket.recv()).get("type") == "welcome":
                for symbol, seq in self.last.items():
                    after = {} if seq is None else {"after": seq}
                    await socket.send(json.dumps({"type": "subscribe", "symbol": symbol, **after}))
            try:
                while True:
                    self.take(json.loads(await socket.recv()))
            except ConnectionClosed:
                return socket.close_code

    def take(self, message):
        match message:
            case {"type": "subscribed", "symbol": symbol, "seq": seq}:
                if self.last[symbol] not in (None, seq):
                    gap = {"type": "gap", "symbol": symbol, "after": self.last[symbol], "seq": seq}
                    self.news.put_nowait(gap)
                self.last[symbol] = seq
            case {"type": "update", "symbol": symbol, "seq": seq}:
                self.last[symbol] = seq
                self.news.put_nowait(message)


async def stay_connected(uri, token, symbols):
    follower = Follower(uri, token, symbols)
    running = asyncio.ensure_future(follower.run())
    try:
        while (news := await follower.news.get()) is not None:
            yield news
        raise PermissionError("1008")
    finally:
        running.cancel()
