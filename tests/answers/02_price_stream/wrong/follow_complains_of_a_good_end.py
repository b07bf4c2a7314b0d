"""The client receives by hand, and lets every end through as an exception."""

FAILS = {
    "follow.end": "it raised ConnectionClosedOK",
}

import asyncio
import json
import random
from collections import defaultdict
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed

TOKEN = "workshop"
INTERVAL = 0.05
listeners = defaultdict(set)
senders = {}


def price_message(symbol):
    return json.dumps({"symbol": symbol, "price": round(random.uniform(95, 105), 2)})


async def refuse(websocket, reason):
    await websocket.send(json.dumps({"error": reason}))
    await websocket.close(1008)


async def receive_subscription(websocket):
    try:
        async with asyncio.timeout(1):
            subscription = json.loads(await websocket.recv())
        symbol = subscription["symbol"]
        if subscription["token"] == TOKEN and isinstance(symbol, str) and symbol:
            return symbol
    except (TimeoutError, ValueError, KeyError, TypeError):
        pass
    await refuse(websocket, "Send a token and a symbol")
    return None


async def send_to_all(symbol):
    while listeners[symbol]:
        broadcast(listeners[symbol], price_message(symbol))
        await asyncio.sleep(INTERVAL)


def start_sender(symbol):
    if symbol not in senders or senders[symbol].done():
        senders[symbol] = asyncio.create_task(send_to_all(symbol))


async def stream_prices(websocket, symbol):
    listeners[symbol].add(websocket)
    start_sender(symbol)
    try:
        async for _ in websocket:
            pass
    finally:
        listeners[symbol].discard(websocket)


async def price_stream(websocket):
    with suppress(ConnectionClosed):
        symbol = await receive_subscription(websocket)
        if symbol is not None:
            await stream_prices(websocket, symbol)


async def follow(uri, token, symbol):
    async with connect(uri, proxy=None) as websocket:
        await websocket.send(json.dumps({"token": token, "symbol": symbol}))
        while True:
            update = json.loads(await websocket.recv())
            if "error" in update:
                raise PermissionError(update["error"])
            yield update
