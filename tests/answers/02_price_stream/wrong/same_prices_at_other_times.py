"""The price follows from the time, but each connection has a rhythm of its own."""

FAILS = {
    "share.same": "reached the last of them",
}

import asyncio
import json
import random
import secrets
import time

from contextlib import suppress

from websockets.asyncio.client import connect

from websockets.exceptions import ConnectionClosed

TOKEN = "workshop"
INTERVAL = 0.05
secret = secrets.token_hex()


def price_message(symbol, tick):
    price = round(random.Random(f"{secret} {symbol} {tick}").uniform(95, 105), 2)
    return json.dumps({"symbol": symbol, "price": price})


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


async def send_prices(websocket, symbol):
    moment = time.monotonic()
    while True:
        await websocket.send(price_message(symbol, int(moment / INTERVAL)))
        moment += INTERVAL
        await asyncio.sleep(moment - time.monotonic())


async def stream_prices(websocket, symbol):
    sending = asyncio.create_task(send_prices(websocket, symbol))
    try:
        async for _ in websocket:
            pass
    finally:
        sending.cancel()


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
