"""Clients of an echo, from a bare socket upwards: so that a protocol's cost can be told from a library's.

Each is a context manager that opens what it needs and yields a call for `wirelab.measure.round_trips` or
`wirelab.distance.side_by_side`. Beside them stand `keep_alive` and `websocket_echo` of `wirelab.measure`: the same
with all the comfort of `requests` and `websockets.sync`.

Addresses are those of `wirelab.serve` or of a `Link`. Nobody here asks for compression or looks for a proxy.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import BinaryIO
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from .measure import Call, keep_alive

MESSAGE = "ping"
# Seconds without a byte after which the other side is taken to be gone.
SILENCE = 10.0
# Bytes in the longest payload whose length stands in a frame's second byte (RFC 6455, section 5.2).
SHORT = 125
# The first byte of a frame that is a whole text message, and the bit in the second that says it is masked.
TEXT = 0x81
MASKED = 0x80


# --- HTTP --------------------------------------------------------------------------------------------------


@contextmanager
def bare_http(url: str, headers: Mapping[str, str] | None = None) -> Iterator[Call]:
    """Yield a call that sends a GET and reads the answer, on one bare socket; no headers but Host and these."""
    request = shortest_get(url, headers)
    with closing(connected(url)) as sock, sock.makefile("rb") as answers:

        def call() -> bytes:
            sock.sendall(request)
            return read_answer(answers)

        yield call


@contextmanager
def standard_http(url: str) -> Iterator[Call]:
    """Yield a call that sends a GET and reads the answer with `http.client`, on one connection."""
    address = urlsplit(url)
    with closing(http.client.HTTPConnection(address.netloc, timeout=SILENCE)) as connection:

        def call() -> bytes:
            connection.request("GET", target_of(url))
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise ConnectionError(f"GET {address.path} was answered {answer.status}.")
            return answer.read()

        yield call


@contextmanager
def new_http(url: str, context: ssl.SSLContext | None = None) -> Iterator[Call]:
    """Yield a call that opens a bare socket, sends one GET, reads the answer and closes.

    Args:
        url: over TLS if it begins with ``https``.
        context: whom to trust there.
    """
    request = shortest_get(url)

    def call() -> bytes:
        with closing(connected(url, context)) as sock, sock.makefile("rb") as answers:
            sock.sendall(request)
            return read_answer(answers)

    yield call


# --- WebSocket ---------------------------------------------------------------------------------------------


@contextmanager
def bare_websocket(uri: str, message: str = MESSAGE) -> Iterator[Call]:
    """Yield a call that sends one message and reads one, as frames made by hand on one bare socket.

    Raises:
        ValueError: the message is too long for so simple a client.
    """
    payload = message.encode()
    if len(payload) > SHORT:
        raise ValueError(f"This client knows messages of at most {SHORT} bytes; got {len(payload)}.")
    with closing(connected(uri)) as sock, sock.makefile("rb") as frames:
        sock.sendall(shake_hands(uri))
        head = read_head(frames)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(f"The server refused the WebSocket: {head[:40]!r}.")

        def call() -> bytes:
            mask = os.urandom(4)
            masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
            sock.sendall(bytes([TEXT, MASKED | len(payload)]) + mask + masked)
            kind, length = read_exactly(frames, 2)
            if kind != TEXT:
                raise ConnectionError(f"The server sent something else than a message, beginning with {kind:#x}.")
            return read_exactly(frames, length)

        yield call


@contextmanager
def thin_websocket(uri: str, message: str = MESSAGE) -> Iterator[Call]:
    """Yield a call that sends one message and reads one: the protocol of `websockets` on one bare socket.

    This is the library without its input and output: no thread stands behind it.
    """
    with closing(ThinWebSocket(uri)) as websocket:

        def call() -> str:
            websocket.send(message)
            return websocket.receive()

        yield call


@contextmanager
def new_websocket(uri: str, context: ssl.SSLContext | None = None, message: str = MESSAGE) -> Iterator[Call]:
    """Yield a call that opens a WebSocket, sends one message, reads one, and drops the connection.

    The closing handshake would take one round trip more, and nobody waits for it.

    Args:
        uri: over TLS if it begins with ``wss``.
        context: whom to trust there.
        message: what to send.
    """

    def call() -> str:
        with closing(ThinWebSocket(uri, context)) as websocket:
            websocket.send(message)
            return websocket.receive()

    yield call


# --- Many messages -----------------------------------------------------------------------------------------


@contextmanager
def in_turn(contender: AbstractContextManager[Call], messages: int) -> Iterator[Call]:
    """Yield a call that makes a contender's call so many times, each when the one before has its answer.

    One call is made beforehand, so that a connection that stays open is open.
    """
    with contender as call:
        call()

        def send() -> None:
            for _ in range(messages):
                call()

        yield send


@contextmanager
def sessions_in_parallel(url: str, messages: int, *, sessions: int = 10) -> Iterator[Call]:
    """Yield a call that shares so many GETs out among sessions of `requests`, each in a thread of its own.

    Every session has opened its connection beforehand.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(sessions, "wirelab session"))
        gets = [stack.enter_context(keep_alive(url)) for _ in range(sessions)]
        list(pool.map(lambda get: get(), gets))
        shares = [(get, len(range(place, messages, sessions))) for place, get in enumerate(gets)]

        def send() -> None:
            list(pool.map(lambda share: [share[0]() for _ in range(share[1])], shares))

        yield send


@contextmanager
def pipelined_http(url: str, messages: int) -> Iterator[Call]:
    """Yield a call that sends so many GETs on one bare socket at once, and only then reads the answers.

    HTTP/1.1 has allowed this from its beginning (RFC 9112, section 9.3.2), but answers come in the order of the
    questions, and which of them were acted on when a connection breaks is hard to tell: no browser does it today.
    One GET is sent beforehand, so that the connection is open. Hundreds, not millions: what is not read yet waits
    in the buffers of TCP.
    """
    request = shortest_get(url)
    with closing(connected(url)) as sock, sock.makefile("rb") as answers:

        def send(count: int = messages) -> list[bytes]:
            sock.sendall(request * count)
            return [read_answer(answers) for _ in range(count)]

        send(1)
        yield send


@contextmanager
def pipelined_websocket(uri: str, messages: int, message: str = MESSAGE) -> Iterator[Call]:
    """Yield a call that sends so many messages on one WebSocket at once, and only then reads the answers.

    Hundreds, not millions, as with `pipelined_http`.
    """
    with closing(ThinWebSocket(uri)) as websocket:

        def send() -> list[str]:
            websocket.send(*[message] * messages)
            return [websocket.receive() for _ in range(messages)]

        yield send


# --- On a bare socket --------------------------------------------------------------------------------------


class ThinWebSocket:
    """A WebSocket on a bare socket, opened when it is made; `websockets` reads and writes the frames.

    Args:
        uri: over TLS if it begins with ``wss``.
        context: whom to trust there.

    Raises:
        ConnectionError: the server closed the connection.
        InvalidHandshake: it answered, but with no WebSocket.
    """

    def __init__(self, uri: str, context: ssl.SSLContext | None = None) -> None:
        self._socket = connected(uri, context)
        self._protocol = ClientProtocol(parse_uri(uri))
        self._received: list[str] = []
        try:
            self._protocol.send_request(self._protocol.connect())
            self._write()
            while self._protocol.handshake_exc is None and self._protocol.state.name == "CONNECTING":
                self._read()
            if self._protocol.handshake_exc:
                raise self._protocol.handshake_exc
        except BaseException:
            self.close()
            raise

    def send(self, *messages: str) -> None:
        """Send text messages, all in one write."""
        for message in messages:
            self._protocol.send_text(message.encode())
        self._write()

    def receive(self) -> str:
        """Wait for one text message.

        Raises:
            ConnectionError: the server closed the connection.
            TimeoutError: it said nothing for ten seconds.
        """
        while not self._received:
            self._read()
        return self._received.pop(0)

    def close(self) -> None:
        """Drop the connection, without a closing handshake."""
        self._socket.close()

    def _write(self) -> None:
        self._socket.sendall(b"".join(self._protocol.data_to_send()))

    def _read(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("The server closed the connection.")
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._received.append(bytes(event.data).decode())


def connected(url: str, context: ssl.SSLContext | None = None) -> socket.socket:
    """Open a connection to the host and port of `url`, over TLS if it begins with ``https`` or ``wss``.

    Small writes leave at once (``TCP_NODELAY``), as in every client library.
    """
    address = urlsplit(url)
    sock = socket.create_connection((address.hostname or "", address.port or 0), timeout=SILENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    if address.scheme not in ("https", "wss"):
        return sock
    try:
        return (context or ssl.create_default_context()).wrap_socket(sock, server_hostname=address.hostname)
    except BaseException:
        sock.close()
        raise


def target_of(url: str) -> str:
    """Return what a request line asks for: path and query of `url`."""
    address = urlsplit(url)
    return (address.path or "/") + (f"?{address.query}" if address.query else "")


def shortest_get(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the fewest bytes that are a GET of `url` with these headers in HTTP/1.1 (RFC 9112, section 3.2)."""
    fields = {"Host": urlsplit(url).netloc, **(headers or {})}
    lines = [f"GET {target_of(url)} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode()


def shake_hands(uri: str) -> bytes:
    """Return a client's handshake for a WebSocket (RFC 6455, section 4.1)."""
    protocol = ClientProtocol(parse_uri(uri))
    protocol.send_request(protocol.connect())
    return b"".join(protocol.data_to_send())


def read_head(answers: BinaryIO) -> bytes:
    """Read the head of an answer, to the empty line that ends it.

    Raises:
        ConnectionError: the server closed the connection before that.
    """
    lines = []
    while (line := answers.readline()) not in (b"\r\n", b""):
        lines.append(line)
    if not line:
        raise ConnectionError("The server closed the connection.")
    return b"".join(lines)


def read_answer(answers: BinaryIO) -> bytes:
    """Read one answer of HTTP/1.1 that says its length, and return its body.

    Raises:
        ConnectionError: it is no success, it does not say its length, or the server closed the connection.
    """
    return read_body(answers, read_head(answers))


def read_body(answers: BinaryIO, head: bytes) -> bytes:
    """Read the body that goes with a head. Raise as `read_answer` does."""
    status, *fields = head.splitlines()
    if status.split()[1] != b"200":
        raise ConnectionError(f"The answer was {status.decode()}.")
    for field in fields:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            return read_exactly(answers, int(value))
    raise ConnectionError("The answer does not say how long it is.")


def read_exactly(answers: BinaryIO, count: int) -> bytes:
    """Read `count` bytes. Raise `ConnectionError` if the server closed the connection before that."""
    data = answers.read(count)
    if len(data) < count:
        raise ConnectionError("The server closed the connection.")
    return data
