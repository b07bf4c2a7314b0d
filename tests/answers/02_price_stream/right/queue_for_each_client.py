"""A producer for each symbol puts prices into a queue for each client. The client is a class."""

import asyncio
import json
import random

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

TOKEN = "workshop"
INTERVAL = 0.05


tickers = {}


class Ticker:
    def __init__(self, symbol):
        self.symbol = symbol
        self.queues = set()
        self.task = asyncio.ensure_future(self.produce())

    async def produce(self):
        while True:
            price = random.randint(9500, 10500) / 100
            for queue in self.queues:
                queue.put_nowait({"price": price, "symbol": self.symbol})
            await asyncio.sleep(INTERVAL)

    def leave(self, queue):
        self.queues.discard(queue)
        if not self.queues:
            del tickers[self.symbol]
            self.task.cancel()


def ticker_of(symbol):
    if symbol not in tickers:
        tickers[symbol] = Ticker(symbol)
    return tickers[symbol]


async def subscription(websocket):
    async with asyncio.timeout(1.1):
        message = await websocket.recv()
    asked = json.loads(message)
    if type(asked) is not dict or asked.get("token") != TOKEN:
        raise PermissionError("wrong token")
    symbol = asked.get("symbol")
    if type(symbol) is not str or symbol == "":
        raise PermissionError("which symbol?")
    return symbol


async def pass_on(websocket, queue):
    while True:
        await websocket.send(json.dumps(await queue.get()).encode(), text=True)


async def price_stream(websocket):
    try:
        symbol = await subscription(websocket)
    except (TimeoutError, ValueError, PermissionError) as fault:
        await websocket.send(json.dumps({"error": str(fault) or "too late"}))
        await websocket.close(code=1008)
        return
    ticker, queue = ticker_of(symbol), asyncio.Queue()
    ticker.queues.add(queue)
    sending = asyncio.ensure_future(pass_on(websocket, queue))
    try:
        while True:
            await websocket.recv()
    except ConnectionClosed:
        pass
    finally:
        sending.cancel()
        ticker.leave(queue)


class Follower:
    def __init__(self, uri, first):
        self.uri, self.first = uri, first
        self.websocket = None
        self.over = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.over:
            raise StopAsyncIteration
        try:
            if self.websocket is None:
                self.websocket = await connect(self.uri, proxy=None)
                await self.websocket.send(self.first)
            update = json.loads(await self.websocket.recv())
        except ConnectionClosed as end:
            self.over = True
            if end.rcvd and end.rcvd.code in (1000, 1001):
                raise StopAsyncIteration from None
            raise ConnectionClosedError(end.rcvd, end.sent, end.rcvd_then_sent) from end
        if "error" in update:
            await self.aclose()
            raise PermissionError(update["error"])
        return update

    async def aclose(self):
        self.over = True
        if self.websocket is not None:
            await self.websocket.close()


def follow(uri, token, symbol):
    return Follower(uri, json.dumps({"symbol": symbol, "token": token}))
