"""One request taken apart: the moments between asking for a name and the last byte of the answer.

A client can see all of them but one: how much of the wait for the first byte was the application's own work. That
the application has to say, in a ``Server-Timing`` header (a draft of the W3C; browsers show it beside their own
figures). `wirelab.apps.echo` does.

Through a relay, a `Link` too, ``connect`` returns as soon as the relay has accepted: take parts of a request to
the server itself, and count round trips where there is distance.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import closing
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from .clients import SILENCE, read_body, read_head, shortest_get


class Parts(NamedTuple):
    """Where the time of one request went, in seconds, in the order in which it passed.

    Attributes:
        look_up: from the host's name to its address.
        connect: TCP's handshake, until the client may send.
        tls: the handshake of TLS.
        request: handing the request to TCP.
        way: the wait for the first byte, as far as the application had no part in it: both ways through the
            network, the kernels, and the web server's own work.
        server: the application, by its own account.
        response: from the first byte of the answer to the last one.
    """

    look_up: float
    connect: float
    tls: float
    request: float
    way: float
    server: float
    response: float

    @property
    def total(self) -> float:
        """All of it, in seconds."""
        return sum(self)


def parts_of_requests(url: str, count: int = 2, context: ssl.SSLContext | None = None) -> list[Parts]:
    """Send `count` GETs one after the other on one new connection, and take each apart.

    The name is looked up as IPv4 only: servers of this kit listen on 127.0.0.1, and where ``localhost`` means
    ``::1`` first, a look-up would bring an address that refuses.

    Args:
        url: over TLS if it begins with ``https``.
        count: how many; all but the first find the connection open.
        context: whom to trust, for TLS.

    Raises:
        ConnectionError: an answer is no success, or the server closed the connection.
        ValueError: an answer does not say how long the application took.
    """
    clock = time.perf_counter
    address = urlsplit(url)
    started = clock()
    found = socket.getaddrinfo(address.hostname, address.port, socket.AF_INET, socket.SOCK_STREAM)
    looked_up = clock()
    with socket.socket(*found[0][:3]) as bare:
        bare.settimeout(SILENCE)
        bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        bare.connect(found[0][4])
        connected = clock()
        with closing(_secured(bare, address.hostname, context) if address.scheme == "https" else bare) as sock:
            ready = clock()
            opening = (looked_up - started, connected - looked_up, ready - connected)
            with sock.makefile("rb") as answers:
                first = [Parts(*opening, *_exchange(sock, answers, url))]
                return first + [Parts(0.0, 0.0, 0.0, *_exchange(sock, answers, url)) for _ in range(count - 1)]


def typical(requests: Iterable[Parts]) -> Parts:
    """Return the median of each part over several requests."""
    return Parts(*(float(np.median(part)) for part in zip(*requests, strict=True)))


def _secured(sock: socket.socket, name: str | None, context: ssl.SSLContext | None) -> ssl.SSLSocket:
    return (context or ssl.create_default_context()).wrap_socket(sock, server_hostname=name)


def _exchange(sock: socket.socket, answers: BinaryIO, url: str) -> tuple[float, float, float, float]:
    """Send one GET; return the seconds of request, way, server and response."""
    clock = time.perf_counter
    question = shortest_get(url)
    started = clock()
    sock.sendall(question)
    sent = clock()
    head = read_head(answers)
    heard = clock()
    read_body(answers, head)
    ended = clock()
    told = re.search(rb"^server-timing:.*?;dur=([\d.]+)", head, re.IGNORECASE | re.MULTILINE)
    if not told:
        raise ValueError("This answer does not say how long the application took: it has no Server-Timing header.")
    server = min(float(told[1]) / 1000, heard - sent)
    return sent - started, heard - sent - server, server, ended - heard
