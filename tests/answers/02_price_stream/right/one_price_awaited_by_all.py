"""All who want a symbol's next price wait for the same task. The client reads in a task of its own."""

import asyncio
import json
import random
from contextlib import asynccontextmanager, suppress

import websockets

TOKEN = "workshop"
INTERVAL = 0.05
upcoming = {}
rng = random.Random()


async def draw(symbol):
    await asyncio.sleep(INTERVAL)
    del upcoming[symbol]
    return json.dumps({"symbol": symbol, "price": round(rng.uniform(95, 105), 2)})


async def next_price(symbol):
    if symbol not in upcoming:
        upcoming[symbol] = asyncio.create_task(draw(symbol))
    return await asyncio.shield(upcoming[symbol])


async def send_prices(websocket, symbol):
    while True:
        await websocket.send(await next_price(symbol))


def valid(message):
    try:
        asked = json.loads(message)
        return asked["token"] == TOKEN and isinstance(asked["symbol"], str) and len(asked["symbol"]) > 0
    except (ValueError, TypeError, KeyError):
        return False


async def price_stream(websocket):
    message = None
    with suppress(TimeoutError, StopAsyncIteration, websockets.ConnectionClosed):
        message = await asyncio.wait_for(anext(aiter(websocket)), timeout=0.9)
    if message is None or not valid(message):
        await websocket.send('{"error": "Who are you?"}')
        await websocket.close(websockets.CloseCode.POLICY_VIOLATION)
        return
    sending = asyncio.create_task(send_prices(websocket, json.loads(message)["symbol"]))
    try:
        with suppress(websockets.ConnectionClosedError):
            async for _ in websocket:
                continue
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


@asynccontextmanager
async def messages_of(uri, first):
    box = asyncio.Queue()

    async def read():
        try:
            async with websockets.connect(uri, proxy=None) as websocket:
                await websocket.send(first)
                async for message in websocket:
                    box.put_nowait((json.loads(message), None))
            box.put_nowait((None, None))
        except Exception as error:
            box.put_nowait((None, error))

    task = asyncio.create_task(read())
    try:
        yield box
    finally:
        task.cancel()


async def follow(uri, token, symbol):
    async with messages_of(uri, json.dumps({"token": token, "symbol": symbol})) as box:
        while (item := await box.get()) != (None, None):
            update, error = item
            if error:
                raise error
            if "error" in update:
                raise PermissionError("The server said: " + update["error"])
            yield update
