"""Who is gone is taken out of the list that the loop walks, so that the neighbour goes without this price."""

FAILS = {
    "survive.vanish": "prices of that time",
}

import asyncio
import json
import random
from collections import defaultdict
from contextlib import suppress

from websockets.asyncio.client import connect

from websockets.exceptions import ConnectionClosed

TOKEN = "workshop"
INTERVAL = 0.05
listeners = defaultdict(list)
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
        message = price_message(symbol)
        for websocket in listeners[symbol]:
            try:
                await websocket.send(message)
            except ConnectionClosed:
                listeners[symbol].remove(websocket)
        await asyncio.sleep(INTERVAL)


def start_sender(symbol):
    if symbol not in senders or senders[symbol].done():
        senders[symbol] = asyncio.create_task(send_to_all(symbol))


async def stream_prices(websocket, symbol):
    listeners[symbol].append(websocket)
    start_sender(symbol)
    async for _ in websocket:
        pass


async def price_stream(websocket):
    with suppress(ConnectionClosed):
        symbol = await receive_subscription(websocket)
        if symbol is not None:
            await stream_prices(websocket, symbol)


async def follow(uri, token, symbol):
    async with connect(uri, proxy=None) as websocket:
        await websocket.send(json.dumps({"token": token, "symbol": symbol}))
        async for message in websocket:
            update = json.loads(message)
            if "error" in update:
                raise PermissionError(update["error"])
            yield update
