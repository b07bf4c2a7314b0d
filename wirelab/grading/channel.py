"""Messages between the processes of the grader: JSON, and open sockets beside it.

A frame is a header of five bytes (the payload's length and the number of sockets that come with it) and the
payload. Nothing is ever unpickled: the other side may be a learner's process.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

HEADER = struct.Struct("!IB")
CAN_PASS_HANDLES = os.name == "posix"

Message = dict[str, Any]


class Channel:
    """One end of a conversation, blocking; `sock`'s own time-out holds, for each message as a whole.

    Args:
        sock: connected to the other end.
        limit: bytes of the longest payload to take.
        takes_sockets: False where the other side is not to be trusted: the system then drops what it hands over.
        peer: the process at the other end; needed only where sockets are handed over by process (Windows).
    """

    def __init__(
        self, sock: socket.socket, limit: int = 1 << 30, *, takes_sockets: bool = True, peer: int = 0
    ) -> None:
        self.sock = sock
        self._limit = limit
        self._takes_sockets = takes_sockets
        self._peer = peer
        self._end: float | None = None

    def send(self, message: Message, *sockets: socket.socket) -> None:
        """Send a message; `sockets` stay open here.

        Raises:
            OSError: the other side is gone, or does not read in time.
        """
        if sockets and not CAN_PASS_HANDLES:
            message = {**message, "_sockets": [_share(sock, self._peer) for sock in sockets]}
        # Only ASCII: lone surrogates, which a notebook may hold, survive as escapes.
        payload = json.dumps(message, ensure_ascii=True).encode("ascii")
        header = HEADER.pack(len(payload), len(sockets))
        if sockets and CAN_PASS_HANDLES:
            socket.send_fds(self.sock, [header], [sock.fileno() for sock in sockets])
        else:
            self.sock.sendall(header)
        self.sock.sendall(payload)

    def receive(self) -> tuple[Message, list[socket.socket]]:
        """Wait for the next message.

        Raises:
            EOFError: the other side is gone.
            TimeoutError: the message was not whole in time.
            ValueError: what came is no message.
        """
        with self._deadline():
            header, sockets = self._receive_header()
            length, count = HEADER.unpack(header)
            if length > self._limit:
                raise ValueError(f"a message of {length} bytes")
            payload = self._receive_exactly(length)
        try:
            message = json.loads(payload)
        except RecursionError as exc:
            raise ValueError("a message nested too deeply") from exc
        if not isinstance(message, dict):
            raise ValueError("a message that is no object")
        if self._takes_sockets and not CAN_PASS_HANDLES:
            sockets = [_from_share(text) for text in message.pop("_sockets", [])]
        if len(sockets) != count:
            raise ValueError("sockets were lost")
        return message, sockets

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """Let the time-out hold for all of the block: by itself it would for each part that comes."""
        seconds = self.sock.gettimeout()
        self._end = None if seconds is None else time.monotonic() + seconds
        try:
            yield
        except TimeoutError:
            raise TimeoutError(f"a message was not whole within {seconds:g} s") from None
        finally:
            self.sock.settimeout(seconds)

    def _receive_header(self) -> tuple[bytes, list[socket.socket]]:
        if not (self._takes_sockets and CAN_PASS_HANDLES):
            return self._receive_exactly(HEADER.size), []
        try:
            data, handles, _, _ = socket.recv_fds(self.sock, HEADER.size, 4)
        except ConnectionError as exc:
            raise EOFError from exc
        if not data:
            raise EOFError
        sockets = [socket.socket(fileno=handle) for handle in handles]
        return data + self._receive_exactly(HEADER.size - len(data)), sockets

    def _receive_exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            if self._end is not None:
                # Not 0, which would mean not to wait, and not to say that the time is over.
                self.sock.settimeout(max(self._end - time.monotonic(), 1e-6))
            try:
                part = self.sock.recv(min(length - len(data), 1 << 20))
            except ConnectionError as exc:
                raise EOFError from exc
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


def _share(sock: socket.socket, peer: int) -> str:
    return base64.b64encode(cast(Any, sock).share(peer)).decode("ascii")


def _from_share(text: str) -> socket.socket:
    return cast(socket.socket, cast(Any, socket).fromshare(base64.b64decode(text)))
