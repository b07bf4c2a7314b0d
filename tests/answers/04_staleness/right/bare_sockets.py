"""Bytes over bare sockets: HTTP/1.0 with a connection for each poll, and frames of a WebSocket taken apart by hand."""

import json
import os
import select
import socket
import statistics
import time
from urllib.parse import urlsplit


def ask(host, port, path, tag, left):
    with socket.create_connection((host, port), timeout=max(0.01, left)) as connection:
        condition = f"if-none-match: {tag}\r\n" if tag else ""
        connection.sendall(f"GET {path} HTTP/1.0\r\n{condition}\r\n".encode())
        received = b""
        while part := connection.recv(4096):
            received += part
    return received.partition(b"\r\n\r\n")


def header(head, name):
    for line in head.decode().split("\r\n"):
        if line.lower().startswith(name + ":"):
            return line.partition(":")[2].strip()
    return None


def poll(url, every, seconds):
    start = time.perf_counter()
    address = urlsplit(url)
    seen, tag, due = [], None, 0.0
    while due < seconds:
        while (left := start + due - time.perf_counter()) > 0:
            select.select([], [], [], left)
        try:
            left = start + seconds + every - time.perf_counter()
            head, _, body = ask(address.hostname, address.port, address.path, tag, left)
        except OSError:
            head = body = b""
        now = time.perf_counter()
        if b" 200 " in head.split(b"\r\n")[0] and body:
            tag = header(head, "etag")
            seen.append([json.loads(body)["seq"], now])
        due = every * (int((time.perf_counter() - start) / every) + 1)
    return seen


def push(uri, seconds):
    end = time.perf_counter() + seconds
    address = urlsplit(uri)
    seen, unread, opened = [], b"", False
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(
            f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while (left := end - time.perf_counter()) > 0:
            if not select.select([connection], [], [], left)[0]:
                break
            part = connection.recv(4096)
            now = time.perf_counter()
            if not part:
                break
            unread += part
            if not opened and b"\r\n\r\n" in unread:
                unread, opened = unread.partition(b"\r\n\r\n")[2], True
            while opened and len(unread) >= 2:
                size, begin = unread[1] & 0x7F, 2
                if size == 126:
                    size, begin = int.from_bytes(unread[2:4], "big"), 4
                if len(unread) < begin + size:
                    break
                payload, unread = unread[begin : begin + size], unread[begin + size :]
                seen.append((json.loads(payload)["seq"], now))
        connection.sendall(b"\x88\x80" + os.urandom(4))
    return seen


def staleness(seen, emitted):
    moments = {}
    for seq, at in seen:
        moments.setdefault(seq, at)
    ages = [moments[seq] - made for seq, made in emitted if seq in moments]
    missed = sum(seq not in moments for seq, _ in emitted)
    report = {"missed": missed, "missed_share": missed / len(emitted), "mean": None, "p95": None}
    if ages:
        report["mean"] = statistics.fmean(ages)
        report["p95"] = statistics.quantiles(ages, n=20)[-1] if len(ages) > 1 else ages[0]
    return report
