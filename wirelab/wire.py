"""Look at the wire: bytes and lines over a bare TCP connection, and WebSocket frames taken apart."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from types import TracebackType
from typing import Self

from websockets.exceptions import ProtocolError
from websockets.frames import Close, Opcode

from ._addresses import address_of
from .serving import Server, base_url

# Seconds without a byte after which the other side is taken to be silent.
SILENCE = 5.0
# Bytes of a payload that `dissect` shows in hexadecimal.
PAYLOAD_SHOWN = 8


class RawConnection:
    """A bare TCP connection to a server: nothing stands between you and the bytes.

    Args:
        server: to which, or its base URL.

    Attributes:
        sent: bytes handed to TCP so far.
        received: bytes that came from TCP so far, those not read yet among them.
    """

    def __init__(self, server: Server | str) -> None:
        self._socket = socket.create_connection(address_of(base_url(server)), timeout=SILENCE)
        self._unread = bytearray()
        self.sent = 0
        self.received = 0

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)
        self.sent += len(data)

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes.

        Raises:
            ConnectionError: the server closed the connection before that.
            TimeoutError: the server said nothing for five seconds.
        """
        while len(self._unread) < count:
            self._receive_or_fail()
        return self._take(count)

    def ask(self, request: str) -> str:
        r"""Send one HTTP request as text and return its answer as text, with ``\n`` for the wire's ``\r\n``.

        Args:
            request: see `talk`. The connection stays open, so nothing is added for its end.

        Returns:
            The answer's head, and as much body as its ``Content-Length`` says.

        Raises:
            ConnectionError, TimeoutError: see `read`.
        """
        self.send(_on_the_wire(request))
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            self._receive_or_fail()
        head = self.read(end + 4)
        length = re.search(rb"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
        return _as_text(head + self.read(int(length[1]) if length else 0))

    def hear(self, seconds: float) -> bytes:
        """Wait for `seconds`, or until the server closes, and return whatever came unasked."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            while (left := deadline - time.monotonic()) > 0 and self._receive(timeout=left):
                pass
        return self._take(len(self._unread))

    def rest(self) -> bytes:
        """Return everything that comes until the server closes the connection.

        Raises:
            TimeoutError: the server said nothing for five seconds.
        """
        while self._receive():
            pass
        return self._take(len(self._unread))

    def close(self) -> None:
        """Close the TCP connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self, timeout: float = SILENCE) -> bool:
        self._socket.settimeout(timeout)
        data = self._socket.recv(65_536)
        self._unread += data
        self.received += len(data)
        return bool(data)

    def _receive_or_fail(self) -> None:
        if not self._receive():
            raise ConnectionError(f"The server closed the connection; unread is {bytes(self._unread)!r}.")

    def _take(self, count: int) -> bytes:
        taken = bytes(self._unread[:count])
        del self._unread[:count]
        return taken


def talk(server: Server | str, request: str) -> str:
    r"""Send one HTTP request as plain text and return the whole answer as text.

    Args:
        server: whom to talk to, or its base URL.
        request: the request line, the headers and, after an empty line, maybe a body. Lines may end in ``\n``:
            they are sent with the ``\r\n`` that RFC 9112 asks for. ``Connection: close`` and, for a body, its
            ``Content-Length`` are added.

    Raises:
        TimeoutError: the server said nothing for five seconds.
    """
    with RawConnection(server) as connection:
        connection.send(_on_the_wire(request, "Connection: close"))
        return _as_text(connection.rest())


def dissect(frame: bytes) -> str:
    """Take one WebSocket frame apart (RFC 6455, section 5.2): a line for each field, its bits or bytes first.

    Raises:
        ValueError: these bytes are not exactly one frame.
    """
    try:
        first, second = frame[:2]
        size_at = {126: "!H", 127: "!Q"}.get(second & 0x7F)
        longer = frame[2 : 2 + struct.calcsize(size_at)] if size_at else b""
        length = struct.unpack(size_at, longer)[0] if size_at else second & 0x7F
        opcode = Opcode(first & 0x0F)
    except (ValueError, struct.error) as exc:
        raise ValueError(f"No frame begins with {_hexadecimal(frame[:10]) or 'nothing'}.") from exc
    masked = bool(second & 0x80)
    start = 2 + len(longer) + 4 * masked
    if len(frame) != start + length:
        raise ValueError(f"This frame's head announces {start + length} bytes; got {len(frame)}.")
    mask, payload = frame[start - 4 : start] if masked else bytes(4), frame[start:]
    plain = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    rows = [
        (f"{first >> 7:b}", "FIN", "the last frame of its message" if first & 0x80 else "more frames follow"),
        (f"{first >> 4 & 0b111:03b}", "RSV", "an extension is in use" if first & 0x70 else "no extension in use"),
        (f"{opcode:04b}", "opcode", f"{opcode:d}: {FRAME_KINDS[opcode]}"),
        (f"{second >> 7:b}", "MASK", "masked, as a client must" if masked else "not masked, as a server must"),
        (f"{second & 0x7F:07b}", "length", f"in the next {len(longer)} bytes" if longer else _count(length)),
    ]
    if longer:
        rows.append((_hexadecimal(longer), "length", _count(length)))
    if masked:
        rows.append((_hexadecimal(mask), "mask", "each byte of the payload is XORed with one of these four"))
    if payload:
        rows.append((_hexadecimal(payload), "payload", frame_meaning(opcode, plain)))
    width = max(len(bits) for bits, _, _ in rows)
    return "\n".join(f"{bits:{width}}  {field:7}  {meaning}" for bits, field, meaning in rows)


FRAME_KINDS = {
    Opcode.CONT: "continuation",
    Opcode.TEXT: "text",
    Opcode.BINARY: "binary",
    Opcode.CLOSE: "close",
    Opcode.PING: "ping",
    Opcode.PONG: "pong",
}


def frame_meaning(opcode: Opcode, payload: bytes) -> str:
    """What a frame's payload says: its text, a close code with its reason, or how long it is."""
    try:
        if opcode is Opcode.CLOSE:
            close = Close.parse(payload)
            return f"code {close.code:d}" + (f": {close.reason}" if close.reason else "")
        return payload.decode() if opcode is not Opcode.BINARY else _count(len(payload))
    except (UnicodeDecodeError, ProtocolError):
        return _count(len(payload))


def _count(length: int) -> str:
    return f"{length} byte{'' if length == 1 else 's'}"


def _hexadecimal(data: bytes) -> str:
    return data[:PAYLOAD_SHOWN].hex(" ") + (" …" if len(data) > PAYLOAD_SHOWN else "")


def _on_the_wire(request: str, *headers: str) -> bytes:
    head, _, body = request.strip("\n").partition("\n\n")
    payload = body.encode()
    length = [f"Content-Length: {len(payload)}"] if payload else []
    return "\r\n".join([*head.splitlines(), *headers, *length, "", ""]).encode() + payload


def _as_text(answer: bytes) -> str:
    return answer.decode().replace("\r\n", "\n")
