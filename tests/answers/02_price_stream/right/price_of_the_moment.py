"""A price follows from a secret, the symbol and the time. The client receives by hand."""

import asyncio
import hashlib
import itertools
import json
import math
import secrets
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

TOKEN = "workshop"
INTERVAL = 0.05
secret = secrets.token_hex()


def price(symbol, tick):
    digest = hashlib.sha256(f"{secret} {symbol} {tick}".encode()).digest()
    return (9500 + int.from_bytes(digest[:8]) % 1001) / 100


def symbol_in(message):
    match json.loads(message):
        case {"token": str(token), "symbol": str(symbol)} if token == TOKEN and symbol:
            return symbol
    raise ValueError("the first message has to be a subscription")


async def refuse(websocket, reason):
    await websocket.send(json.dumps({"error": reason}))
    await websocket.close(1008, "refused")


async def listen_until(websocket, moment):
    with suppress(TimeoutError):
        async with asyncio.timeout_at(moment):
            while True:
                await websocket.recv()


async def price_stream(websocket):
    with suppress(ConnectionClosed):
        try:
            symbol = symbol_in(await asyncio.wait_for(websocket.recv(), 1))
        except (TimeoutError, ValueError) as fault:
            await refuse(websocket, str(fault) or "you said nothing for a second")
            return
        now = asyncio.get_running_loop().time()
        for tick in itertools.count(math.floor(now / INTERVAL) + 1):
            await listen_until(websocket, tick * INTERVAL)
            await websocket.send(json.dumps({"symbol": symbol, "price": price(symbol, tick)}))


async def follow(uri, token, symbol):
    websocket = await connect(uri, proxy=None)
    try:
        await websocket.send(json.dumps({"token": token, "symbol": symbol}))
        while True:
            update = json.loads(await websocket.recv())
            match update:
                case {"error": text}:
                    raise PermissionError(text)
            yield update
    except ConnectionClosedOK:
        return
    finally:
        await websocket.close()
