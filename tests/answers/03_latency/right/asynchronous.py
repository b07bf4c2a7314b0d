"""Asynchronous throughout, one await after the other; arrays come back. The interval is a studentised bootstrap."""

import asyncio
from time import perf_counter

import httpx2
import numpy as np
from websockets.asyncio.client import connect


async def timed(work, n):
    await work()
    durations = np.zeros(n)
    for place in range(n):
        start = perf_counter()
        await work()
        durations[place] = perf_counter() - start
    return durations


async def rest_round_trips(url, n):
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await timed(lambda: client.get(url), n)


async def websocket_round_trips(uri, n):
    async with connect(uri, proxy=None) as websocket:

        async def talk():
            await websocket.send("?")
            return await websocket.recv()

        return await timed(talk, n)


async def fetch(host, port, path):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection:Close\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def connection_costs(url, n):
    address = httpx2.URL(url)
    durations = []
    for _ in range(n):
        start = perf_counter()
        await fetch(address.host, address.port, address.path)
        durations.append(perf_counter() - start)
    return durations


def summarise(samples):
    data = np.array(samples)
    if data.size == 0:
        raise ValueError("nothing to summarise")
    rng = np.random.default_rng()
    draws = rng.choice(data, (400, data.size))
    error = data.std(ddof=1) / data.size**0.5
    pivots = (draws.mean(axis=1) - data.mean()) / (draws.std(axis=1, ddof=1) / data.size**0.5)
    left, right = np.quantile(pivots, [0.025, 0.975])
    return {
        "p50": np.quantile(data, 0.5, method="hazen"),
        "p95": np.quantile(data, 0.95, method="weibull"),
        "mean": data.mean(),
        "ci95": np.array([data.mean() - right * error, data.mean() - left * error]),
        "n": data.size,
    }
