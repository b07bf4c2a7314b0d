"""Clients that break the rules, to see what a server makes of them: too much, too fast, or too slow.

They are bounded, a few megabytes and a few seconds at most, and go to this machine alone. A server that takes all
of it answers each message with its length in characters.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from .clients import shake_hands

# Characters of one message that is far too long, and of one that is made of nothing but zeros.
LONG = 64 * 1024
BOMB = 4 * 1024 * 1024
# Messages of a flood.
FLOOD = 200
# Seconds without an answer after which a server is taken to be gone.
SILENCE = 10.0


def one_message(uri: str, size: int, *, compressed: bool = False) -> str:
    """Send one message of `size` equal characters; return what became of it, "taken" or "closed with CODE".

    Args:
        uri: the server, on this machine.
        size: characters of the message.
        compressed: deflate it, if the server agrees (RFC 7692): equal characters shrink to a thousandth.
    """
    with _connected(uri, compressed=compressed) as websocket, suppress(ConnectionClosed):
        websocket.send("0" * size)
        answer = websocket.recv(SILENCE)
        if answer != str(size):
            raise ValueError(f"A message of {size} characters was answered with {answer!r}, not with its length.")
        return "taken"
    return f"closed with {websocket.close_code}"


def flood(uri: str, count: int = FLOOD) -> str:
    """Send so many short messages at once, then read; return "all taken", or after how many it was closed."""
    answered = 0
    with _connected(uri) as websocket, suppress(ConnectionClosed):
        # A server that closes meanwhile ends the sending; what it answered before can be read all the same.
        with suppress(ConnectionClosed):
            for _ in range(count):
                websocket.send("hello")
        while answered < count:
            websocket.recv(SILENCE)
            answered += 1
        return "all taken"
    return f"closed with {websocket.close_code} after {answered}"


def half_a_handshake(uri: str, seconds: float) -> str:
    """Send the first half of a handshake, and then nothing; return "still open" after `seconds`, or "closed"."""
    address = urlsplit(_here(uri))
    deadline = time.monotonic() + seconds
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=SILENCE) as sock:
        hello = shake_hands(uri)
        sock.sendall(hello[: len(hello) // 2])
        try:
            # A server may say why before it closes.
            while (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                if not sock.recv(4096):
                    return "closed"
        except TimeoutError:
            return "still open"
        except ConnectionError:
            return "closed"
    return "still open"


def _connected(uri: str, *, compressed: bool = False) -> ClientConnection:
    return connect(_here(uri), proxy=None, compression="deflate" if compressed else None, close_timeout=1)


def _here(uri: str) -> str:
    if urlsplit(uri).hostname != "127.0.0.1":
        raise ValueError(f"Try this on your own machine, at 127.0.0.1; got {uri!r}.")
    return uri
