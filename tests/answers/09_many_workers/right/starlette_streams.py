"""Starlette; a class for the worker, one reader of a room's stream for all its members here."""

import asyncio
import contextlib
import random

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

LOST = (RedisError, OSError)


def key_of(room):
    return f"room:{room}"


def message_from(entry):
    number, fields = entry
    return {"seq": int(number.partition("-")[2]), "text": fields["text"]}


class Worker:
    def __init__(self, url):
        self.redis = Redis.from_url(url, decode_responses=True, socket_timeout=5, retry=Retry(NoBackoff(), 0))
        self.queues = {}
        self.listeners = {}
        self.lock = asyncio.Lock()

    async def publish(self, room, text):
        number = await self.redis.xadd(key_of(room), {"text": text}, id="0-*", maxlen=1000)
        return {"seq": int(number.partition("-")[2]), "text": text}

    async def history(self, room, after):
        return [message_from(entry) for entry in await self.redis.xrange(key_of(room), min=f"(0-{after}")]

    async def newest(self, room):
        entries = await self.redis.xrevrange(key_of(room), count=1)
        return message_from(entries[0])["seq"] if entries else 0

    def deliver(self, room, message):
        for queue in self.queues.get(room, ()):
            queue.put_nowait(message)

    async def listen(self, room, after):
        while True:
            try:
                found = await self.redis.xread({key_of(room): f"0-{after}"}, block=1000)
            except LOST:
                await asyncio.sleep(random.uniform(0, 0.3))
                continue
            for entry in found[0][1] if found else ():
                message = message_from(entry)
                self.deliver(room, message)
                after = message["seq"]

    async def ensure_listener(self, room):
        async with self.lock:
            if room not in self.listeners:
                after = await self.newest(room)
                self.listeners[room] = asyncio.create_task(self.listen(room, after))

    def enter(self, room):
        queue = asyncio.Queue()
        self.queues.setdefault(room, set()).add(queue)
        return queue

    async def send(self, websocket, room, after):
        queue = self.enter(room)
        try:
            if after is not None:
                for message in await self.history(room, int(after)):
                    await websocket.send_json(message)
                    after = message["seq"]
            while True:
                message = await queue.get()
                if after is None or message["seq"] > int(after):
                    await websocket.send_json(message)
        finally:
            self.queues[room].discard(queue)


def create_app(broker_url):
    worker = Worker(broker_url)

    async def post(request):
        try:
            text = (await request.json())["text"]
            return JSONResponse(await worker.publish(request.path_params["room"], text), 201)
        except LOST as fault:
            return JSONResponse({"detail": str(fault)}, 503)

    async def get(request):
        after = int(request.query_params.get("after", 0))
        return JSONResponse({"messages": await worker.history(request.path_params["room"], after)})

    async def join(websocket):
        room, after = websocket.path_params["room"], websocket.query_params.get("after")
        await worker.ensure_listener(room)
        sending = asyncio.create_task(worker.send(websocket, room, after))
        # The task has its queue before the client knows that it is in.
        await asyncio.sleep(0)
        await websocket.accept()
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            pass
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await sending

    return Starlette(
        routes=[
            Route("/rooms/{room}/messages", post, methods=["POST"]),
            Route("/rooms/{room}/messages", get),
            WebSocketRoute("/rooms/{room}", join),
        ]
    )
