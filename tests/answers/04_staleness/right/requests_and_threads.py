"""Plain functions: requests, the threading client of websockets, and a sorted list."""

import json
import math
import time
from contextlib import suppress

import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def poll(url, every, seconds):
    start = time.perf_counter()
    seen = []
    known = {}
    number = 0
    with requests.Session() as session:
        session.trust_env = False
        while number * every < seconds:
            time.sleep(max(0.0, start + number * every - time.perf_counter()))
            left = max(0.01, start + seconds + every - time.perf_counter())
            try:
                answer = session.get(url, headers=known, timeout=left)
                answer.raise_for_status()
            except requests.RequestException:
                pass
            else:
                now = time.perf_counter()
                if answer.status_code == 200:
                    seen.append((answer.json()["seq"], now))
                    known = {"If-None-Match": answer.headers["ETag"]}
            number = max(number + 1, math.ceil((time.perf_counter() - start) / every))
    return seen


def push(uri, seconds):
    end = time.perf_counter() + seconds
    seen = []
    with connect(uri, proxy=None) as websocket, suppress(TimeoutError, ConnectionClosed):
        while (left := end - time.perf_counter()) > 0:
            message = websocket.recv(timeout=left)
            seen.append((json.loads(message)["seq"], time.perf_counter()))
    return seen


def staleness(seen, emitted):
    made = dict(emitted)
    ages = sorted(at - made[seq] for seq, at in seen if seq in made)
    missed = len(made) - len(ages)
    return {
        "mean": sum(ages) / len(ages) if ages else None,
        "p95": ages[int(0.95 * len(ages))] if ages else None,
        "missed": missed,
        "missed_share": missed / len(made),
    }
