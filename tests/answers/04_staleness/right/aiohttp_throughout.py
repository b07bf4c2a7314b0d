"""One library for both: aiohttp, which by itself asks once more when a connection that was kept is dropped."""

import asyncio
import json
import math
from time import perf_counter

import aiohttp


async def moments(every, seconds):
    start, turn = perf_counter(), 0
    while turn * every < seconds:
        await asyncio.sleep(max(0.0, start + turn * every - perf_counter()))
        yield turn
        turn = max(turn, math.floor((perf_counter() - start) / every)) + 1


async def poll(url, every, seconds):
    seen, tags, end = [], [], perf_counter() + seconds + every
    async with aiohttp.ClientSession() as session:
        async for _ in moments(every, seconds):
            headers = {"If-None-Match": tags[-1]} if tags else {}
            try:
                async with asyncio.timeout(end - perf_counter()), session.get(url, headers=headers) as answer:
                    text = await answer.text()
            except (aiohttp.ClientError, TimeoutError):
                continue
            at = perf_counter()
            if answer.status == 200:
                seen.append((json.loads(text)["seq"], at))
                tags.append(answer.headers["ETag"])
    return seen


async def push(uri, seconds):
    seen = []

    async def listen():
        async with aiohttp.ClientSession() as session, session.ws_connect(uri) as websocket:
            async for message in websocket:
                seen.append((message.json()["seq"], perf_counter()))

    try:
        await asyncio.wait_for(listen(), seconds)
    except asyncio.TimeoutError:
        pass
    return seen


async def staleness(seen, emitted):
    known = {seq for seq, _ in emitted}
    seen = {seq: at for seq, at in seen if seq in known}
    ages = sorted(seen[seq] - at for seq, at in emitted if seq in seen)
    missed = known - seen.keys()
    if not ages:
        return {"mean": None, "p95": None, "missed": len(missed), "missed_share": 1.0}
    rank = math.ceil(0.95 * len(ages))
    mean = math.fsum(ages) / len(ages)
    return {"mean": mean, "p95": ages[rank - 1], "missed": len(missed), "missed_share": len(missed) / len(known)}
