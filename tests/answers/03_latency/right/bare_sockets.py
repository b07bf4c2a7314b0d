"""Nothing but sockets: HTTP and WebSocket frames by hand. The figures are reckoned in plain Python."""

import base64
import math
import os
import random
import socket
import statistics
import time
from contextlib import closing
from urllib.parse import urlsplit


def open_socket(url):
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname, parts.port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock, f"{parts.hostname}:{parts.port}", parts.path or "/"


def read_until(stream, mark):
    received = b""
    while mark not in received:
        byte = stream.read(1)
        if not byte:
            raise ConnectionError("the server hung up")
        received += byte
    return received.decode("latin-1")


def ask(sock, stream, host, path):
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    for line in read_until(stream, b"\r\n\r\n").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return stream.read(int(value))
    raise ValueError("no Content-Length")


def rest_round_trips(url, n):
    sock, host, path = open_socket(url)
    with closing(sock), sock.makefile("rb") as stream:
        for _ in range(3):
            ask(sock, stream, host, path)
        laps = [time.perf_counter()]
        for _ in range(n):
            ask(sock, stream, host, path)
            laps.append(time.perf_counter())
    return tuple(after - before for before, after in zip(laps, laps[1:]))


def frame(text):
    payload, mask = text.encode(), os.urandom(4)
    return bytes([0x81, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def receive(stream):
    _, length = stream.read(2)
    return stream.read(length)


def websocket_round_trips(uri, n):
    sock, host, path = open_socket(uri)
    with closing(sock), sock.makefile("rb") as stream:
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert " 101 " in read_until(stream, b"\r\n\r\n")
        durations = []
        for number in range(n + 1):
            start = time.monotonic()
            sock.sendall(frame(f"hello {number}"))
            receive(stream)
            durations.append(time.monotonic() - start)
    return durations[1:]


def connection_costs(url, n):
    durations = []
    for _ in range(n):
        start = time.perf_counter_ns()
        sock, host, path = open_socket(url)
        with sock.makefile("rb") as stream:
            ask(sock, stream, host, path)
        durations.append((time.perf_counter_ns() - start) / 1e9)
        sock.close()
    return durations


def percentile(ordered, share):
    return ordered[math.ceil(share * len(ordered)) - 1]


def summarise(samples):
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("nothing to summarise")
    # A percentile bootstrap of few draws, and none for the many samples that do not need it.
    mean, count = statistics.fmean(ordered), len(ordered)
    if count > 500:
        error = statistics.stdev(ordered) / math.sqrt(count)
        interval = mean - 1.96 * error, mean + 1.96 * error
    else:
        means = sorted(statistics.fmean(random.choices(ordered, k=count)) for _ in range(400))
        interval = means[9], means[389]
    return {"p50": percentile(ordered, 0.5), "p95": percentile(ordered, 0.95), "mean": mean, "ci95": interval}
