"""FastAPI; a list for each room, whose length is the number, and a publication that only says: look again."""

import asyncio
from contextlib import suppress

from fastapi import FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from redis.asyncio import Redis
from redis.exceptions import RedisError


def create_app(broker_url):
    app = FastAPI()
    redis = Redis.from_url(broker_url, decode_responses=True)

    async def read(room, after):
        texts = await redis.lrange(f"messages in {room}", after, -1)
        return [{"seq": after + place, "text": text} for place, text in enumerate(texts, 1)]

    @app.post("/rooms/{room}/messages", status_code=201)
    async def post(room: str, message: dict):
        try:
            seq = await redis.rpush(f"messages in {room}", message["text"])
            await redis.publish(f"news of {room}", "look")
        except (RedisError, OSError) as fault:
            raise HTTPException(503, str(fault)) from None
        return {"seq": seq, "text": message["text"]}

    @app.get("/rooms/{room}/messages")
    async def get(room: str, after: int = 0):
        return {"messages": await read(room, after)}

    async def follow(websocket, room, after):
        while True:
            # Every second try to hear of news anew, and look in any case.
            with suppress(RedisError, OSError):
                async with redis.pubsub(ignore_subscribe_messages=True) as news:
                    await news.subscribe(f"news of {room}")
                    while True:
                        for message in await read(room, after):
                            await websocket.send_json(message)
                            after = message["seq"]
                        await news.get_message(timeout=0.5)
            await asyncio.sleep(0.1)

    @app.websocket("/rooms/{room}")
    async def join(websocket: WebSocket, room: str, after: int | None = None):
        if after is None:
            after = await redis.llen(f"messages in {room}")
        await websocket.accept()
        following = asyncio.create_task(follow(websocket, room, after))
        with suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
        following.cancel()

    return app
