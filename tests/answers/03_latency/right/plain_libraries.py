"""The libraries that the lab uses, without a function that does the timing for all."""

import statistics
import time

import requests
from websockets.sync.client import connect


def rest_round_trips(url, n):
    durations = []
    with requests.Session() as session:
        session.get(url, timeout=10)
        for _ in range(n):
            start = time.perf_counter()
            session.get(url, timeout=10)
            durations.append(time.perf_counter() - start)
    return durations


def websocket_round_trips(uri, n):
    durations = []
    with connect(uri, proxy=None) as websocket:
        websocket.send("warm-up")
        websocket.recv()
        for _ in range(n):
            start = time.perf_counter()
            websocket.send("ping")
            websocket.recv()
            durations.append(time.perf_counter() - start)
    return durations


def connection_costs(url, n):
    durations = []
    for _ in range(n):
        start = time.perf_counter()
        requests.get(url, timeout=10)
        durations.append(time.perf_counter() - start)
    return durations


def summarise(samples):
    p95 = statistics.quantiles(samples, n=20)[-1] if samples else 0
    mean = statistics.mean(samples)
    margin = 1.96 * statistics.stdev(samples) / len(samples) ** 0.5
    return {"p50": statistics.median(samples), "p95": p95, "mean": mean, "ci95": (mean - margin, mean + margin)}
