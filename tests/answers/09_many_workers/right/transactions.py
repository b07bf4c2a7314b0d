"""Starlette; a number, a text and a nudge in one transaction; who is nudged looks at the list again."""

import asyncio
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect


def create_app(broker_url):
    redis = Redis.from_url(broker_url, decode_responses=True)

    async def kept(room, after):
        async with redis.pipeline() as both:
            both.lrange(f"{room}: texts", after, -1).hget(f"{room}: about", "seq")
            texts, _ = await both.execute()
        return [{"seq": after + place, "text": text} for place, text in enumerate(texts, 1)]

    async def post(request):
        room, text = request.path_params["room"], (await request.json())["text"]
        try:
            async with redis.pipeline() as all_or_nothing:
                all_or_nothing.hincrby(f"{room}: about", "seq", 1)
                all_or_nothing.rpush(f"{room}: texts", text)
                all_or_nothing.publish(f"{room}: news", "look")
                seq, _, _ = await all_or_nothing.execute()
        except (RedisError, OSError) as fault:
            return JSONResponse({"error": str(fault)}, 503)
        return JSONResponse({"seq": seq, "text": text}, 201)

    async def history(request):
        after = int(request.query_params.get("after", 0))
        return JSONResponse({"messages": await kept(request.path_params["room"], after)})

    async def follow(websocket, room, after):
        while True:
            with suppress(RedisError, OSError):
                async with redis.pubsub(ignore_subscribe_messages=True) as news:
                    await news.subscribe(f"{room}: news")
                    while True:
                        for message in await kept(room, after):
                            await websocket.send_json(message)
                            after = message["seq"]
                        await news.get_message(timeout=0.5)
            await asyncio.sleep(0.1)

    async def join(websocket):
        room = websocket.path_params["room"]
        after = websocket.query_params.get("after")
        after = int(await redis.hget(f"{room}: about", "seq") or 0) if after is None else int(after)
        await websocket.accept()
        following = asyncio.create_task(follow(websocket, room, after))
        with suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
        following.cancel()

    return Starlette(
        routes=[
            Route("/rooms/{room}/messages", post, methods=["POST"]),
            Route("/rooms/{room}/messages", history, methods=["GET"]),
            WebSocketRoute("/rooms/{room}", join),
        ]
    )
