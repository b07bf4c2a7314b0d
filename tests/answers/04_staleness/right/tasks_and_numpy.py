"""Coroutines: httpx2 with a timer of its own, a queue filled by a reading task, and NumPy."""

import asyncio
import json
import time

import httpx2
import numpy as np
from websockets.asyncio.client import connect


async def poll(url, every, seconds):
    loop = asyncio.get_running_loop()
    begin = loop.time()
    seen, tag = [], None
    async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
        last = -1
        while True:
            turn = max(last + 1, int(np.ceil((loop.time() - begin) / every)) if last >= 0 else 0)
            if turn * every >= seconds:
                break
            await asyncio.sleep(begin + turn * every - loop.time())
            last = turn
            try:
                async with asyncio.timeout_at(begin + seconds + every):
                    answer = await client.get(url, headers={"If-None-Match": tag} if tag else None)
            except (httpx2.HTTPError, TimeoutError):
                continue
            here = time.perf_counter()
            if answer.status_code == httpx2.codes.OK:
                tag = answer.headers["etag"]
                seen.append((answer.json()["seq"], here))
    await asyncio.sleep(max(0, begin + seconds - loop.time()))
    return seen


async def push(uri, seconds):
    box = asyncio.Queue()

    async def read():
        async with connect(uri, proxy=None, compression=None) as websocket:
            async for message in websocket:
                box.put_nowait((json.loads(message)["seq"], time.perf_counter()))

    reading = asyncio.create_task(read())
    await asyncio.wait([reading], timeout=seconds)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return [box.get_nowait() for _ in range(box.qsize())]


def staleness(seen, emitted):
    sightings = {seq: at for seq, at in seen}
    ages = np.array([sightings[seq] - made for seq, made in emitted if seq in sightings])
    missed = len(emitted) - ages.size
    return {
        "mean": ages.mean() if ages.size else None,
        "p95": np.percentile(ages, 95, method="median_unbiased") if ages.size else None,
        "missed": missed,
        "missed_share": np.divide(missed, len(emitted)),
    }
