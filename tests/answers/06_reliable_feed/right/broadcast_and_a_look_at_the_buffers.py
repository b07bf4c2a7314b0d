"""Broadcasts to all, then looks at how many bytes wait for whom; a client in one piece, with half of each pause fixed."""

import asyncio
import json
import random
import time
from collections import defaultdict

from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, WebSocketException

MOST = 1_000_000  # bytes that may wait for a client
members = defaultdict(lambda: [0, set()])
tasks = set()


def later(work):
    task = asyncio.ensure_future(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def say(websocket, **message):
    broadcast([websocket], json.dumps(message))


async def drop(websocket):
    forget(websocket)
    try:
        await asyncio.wait_for(websocket.close(code=4008), 12)
    except TimeoutError:
        websocket.transport.abort()


def forget(websocket):
    for _, room in members.values():
        room.discard(websocket)


def publish(symbol, data):
    members[symbol][0] += 1
    seq, room = members[symbol]
    broadcast(room, json.dumps({"type": "update", "symbol": symbol, "seq": seq, "data": data, "at": time.time()}))
    for websocket in [one for one in room if one.transport.get_write_buffer_size() > MOST]:
        room.discard(websocket)
        later(drop(websocket))
    return seq


def handle(websocket, raw):
    try:
        message = json.loads(raw)
    except ValueError as problem:
        return say(websocket, type="error", error=str(problem))
    if not isinstance(message, dict):
        return say(websocket, type="error", error="no object")
    symbol = message.get("symbol")
    if not isinstance(symbol, str) or symbol == "":
        return say(websocket, type="error", error="no symbol")
    kind = message.get("type")
    if kind == "subscribe":
        say(websocket, type="subscribed", symbol=symbol, seq=members[symbol][0])
        members[symbol][1].add(websocket)
    elif kind == "unsubscribe":
        members[symbol][1].discard(websocket)
        say(websocket, type="unsubscribed", symbol=symbol)
    elif kind == "publish" and "data" in message:
        say(websocket, type="published", symbol=symbol, seq=publish(symbol, message["data"]))
    else:
        say(websocket, type="error", error="no such request")


async def pulse(websocket):
    answered = True
    while answered:
        await asyncio.sleep(1.2)
        pong = await websocket.ping()
        answered, _ = await asyncio.wait([asyncio.ensure_future(asyncio.wait_for(pong, 1))])
        answered = all(one.exception() is None for one in answered)
    later(websocket.close(1011, "no pong"))


async def rooms(websocket):
    hello = json.loads(await websocket.recv())
    if hello.get("token") != "workshop":
        return await websocket.close(1008)
    say(websocket, type="welcome")
    beating = asyncio.ensure_future(pulse(websocket))
    beating.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        async for raw in websocket:
            handle(websocket, raw)
    except ConnectionClosedError:
        pass
    finally:
        forget(websocket)
        beating.cancel()


async def stay_connected(uri, token, symbols):
    had = {}
    wait = 0.05
    while True:
        start = time.perf_counter()
        try:
            websocket = await connect(uri, proxy=None, ping_interval=1, ping_timeout=1, close_timeout=0.5)
        except (OSError, WebSocketException):
            websocket = None
        if websocket:
            try:
                requests = [{"type": "subscribe", "symbol": symbol} for symbol in symbols]
                for request in requests:
                    if request["symbol"] in had:
                        request["after"] = had[request["symbol"]]
                for request in [{"type": "hello", "token": token}, *requests]:
                    await websocket.send(json.dumps(request))
                while True:
                    message = json.loads(await websocket.recv())
                    symbol, seq = message.get("symbol"), message.get("seq")
                    if message["type"] == "subscribed":
                        last = had.get(symbol, seq)
                        had[symbol] = seq
                        if last != seq:
                            yield {"type": "gap", "symbol": symbol, "after": last, "seq": seq, "why": "forgotten"}
                    elif message["type"] == "update" and seq > had[symbol]:
                        had[symbol] = seq
                        yield message
            except ConnectionClosed:
                if websocket.close_code == 1008:
                    raise PermissionError(websocket.close_reason)
            finally:
                websocket.transport.abort()
        if time.perf_counter() - start >= 1:
            wait = 0.05
        await asyncio.sleep(wait * random.uniform(0.5, 1))
        wait = min(2 * wait, 1)
