"""A queue and a writer for each client; a client that keeps its own books in dictionaries."""

import asyncio
import json
import random
import time
from collections import Counter, defaultdict
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

TOKEN = "workshop"
QUEUE = 32
TOO_SLOW = 4008
HEARTBEAT = 1.0
FIRST_DELAY, MAX_DELAY, GOOD_SPELL = 0.05, 1.0, 1.0

members = defaultdict(set)
numbers = Counter()
queues = {}
background = set()


def in_background(coroutine):
    task = asyncio.create_task(coroutine)
    background.add(task)
    task.add_done_callback(background.discard)
    return task


def leave_all(websocket):
    for room in members.values():
        room.discard(websocket)


async def close(websocket, code):
    # The frame waits behind what the client does not read.
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            await websocket.close(code)
    websocket.transport.abort()


def drop(websocket):
    leave_all(websocket)
    queues.pop(websocket, None)
    in_background(close(websocket, TOO_SLOW))


def post(websocket, message):
    if websocket in queues:
        try:
            queues[websocket].put_nowait(json.dumps(message))
        except asyncio.QueueFull:
            drop(websocket)


async def write(websocket, queue):
    with suppress(ConnectionClosed):
        while True:
            await websocket.send(await queue.get())


async def heartbeat(websocket):
    with suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(HEARTBEAT)
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await (await websocket.ping())
            except TimeoutError:
                websocket.transport.abort()
                return


def next_update(symbol, data):
    numbers[symbol] += 1
    return {"type": "update", "symbol": symbol, "seq": numbers[symbol], "data": data}


def obey(websocket, text):
    try:
        request = json.loads(text)
    except ValueError:
        request = None
    match request:
        case {"type": "subscribe", "symbol": str(symbol)} if symbol:
            members[symbol].add(websocket)
            return {"type": "subscribed", "symbol": symbol, "seq": numbers[symbol]}
        case {"type": "unsubscribe", "symbol": str(symbol)} if symbol:
            members[symbol].discard(websocket)
            return {"type": "unsubscribed", "symbol": symbol}
        case {"type": "publish", "symbol": str(symbol), "data": data} if symbol:
            update = next_update(symbol, data)
            for member in list(members[symbol]):
                post(member, update)
            return {"type": "published", "symbol": symbol, "seq": update["seq"]}
    return {"type": "error", "error": "Not understood"}


async def admit(websocket):
    with suppress(TimeoutError, ValueError):
        async with asyncio.timeout(2):
            if json.loads(await websocket.recv()) == {"type": "hello", "token": TOKEN}:
                return True
    await websocket.send(json.dumps({"type": "error", "error": "Say hello, with the token"}))
    await websocket.close(1008)
    return False


async def rooms(websocket):
    with suppress(ConnectionClosed):
        if not await admit(websocket):
            return
        queues[websocket] = queue = asyncio.Queue(QUEUE)
        tasks = [in_background(write(websocket, queue)), in_background(heartbeat(websocket))]
        post(websocket, {"type": "welcome"})
        try:
            async for text in websocket:
                post(websocket, obey(websocket, text))
        finally:
            leave_all(websocket)
            queues.pop(websocket, None)
            for task in tasks:
                task.cancel()


async def session(uri, token, symbols, seen):
    async with connect(
        uri, proxy=None, ping_interval=HEARTBEAT, ping_timeout=HEARTBEAT, close_timeout=HEARTBEAT
    ) as websocket:
        await websocket.send(json.dumps({"type": "hello", "token": token}))
        for symbol in symbols:
            asked = {"type": "subscribe", "symbol": symbol}
            if symbol in seen:
                asked["after"] = seen[symbol]
            await websocket.send(json.dumps(asked))
        async for text in websocket:
            yield json.loads(text)


def take(message, seen):
    symbol = message.get("symbol")
    if message["type"] == "subscribed":
        before, seen[symbol] = seen.get(symbol), message["seq"]
        if before is not None and before != message["seq"]:
            return [{"type": "gap", "symbol": symbol, "after": before, "seq": message["seq"]}]
    elif message["type"] == "update":
        seen[symbol] = message["seq"]
        return [message]
    return []


def pause(failures):
    return random.uniform(0, min(MAX_DELAY, FIRST_DELAY * 2 ** (failures - 1)))


async def stay_connected(uri, token, symbols):
    seen, failures = {}, 0
    while True:
        began = time.monotonic()
        try:
            async for message in session(uri, token, symbols, seen):
                for news in take(message, seen):
                    yield news
        except ConnectionClosed as end:
            if end.rcvd and end.rcvd.code == 1008:
                raise PermissionError("refused") from None
        except (OSError, TimeoutError, InvalidHandshake):
            pass
        failures = 1 if time.monotonic() - began >= GOOD_SPELL else failures + 1
        await asyncio.sleep(pause(failures))
