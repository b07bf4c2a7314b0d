"""Bare connections for measuring: HTTP/1.1 and WebSocket on a TCP connection that counts its bytes.

The protocols are h11's and websockets', without their input and output; so what is counted is what the
program hands to TCP, and little else of the client's own stands between an answer and its time. TCP's and
IP's own headers, 40 bytes or more a packet, are not counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import h11
import requests
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

# A poller's headers weigh more than its question; these are what an ordinary Python client sends.
HEADERS = requests.utils.default_headers()


class Wire:
    """A TCP connection that counts its bytes in both directions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.sent = 0
        self.received = 0

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the host and port of `url`."""
        address = urlsplit(url)
        return cls(*await asyncio.open_connection(address.hostname, address.port))

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.sent += len(data)
        self._writer.write(data)

    async def read(self) -> bytes:
        """Wait for bytes. Raise `ConnectionError` when the server has closed the connection."""
        data = await self._reader.read(65_536)
        if not data:
            raise ConnectionError("The server closed the connection.")
        self.received += len(data)
        return data

    def close(self) -> None:
        """Close at once, without waiting for the server."""
        self._writer.transport.abort()


class Answer(NamedTuple):
    """A whole HTTP response."""

    status: int
    etag: str | None
    body: bytes


class Http:
    """HTTP/1.1 on one kept-alive connection."""

    def __init__(self, wire: Wire, url: str) -> None:
        self._wire = wire
        self._headers = {"Host": urlsplit(url).netloc, **HEADERS}
        self._protocol = h11.Connection(h11.CLIENT)

    async def ask(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send one request and wait for the whole answer."""
        head = await self.start(method, target, headers=headers, body=body)
        content = b"".join([part async for part in self.body()])
        if self._protocol.our_state is not h11.DONE:
            raise ConnectionError("The server closes the connection.")
        self._protocol.start_next_cycle()
        etag = next((value.decode() for name, value in head.headers if name == b"etag"), None)
        return Answer(head.status_code, etag, content)

    async def start(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> h11.Response:
        """Send one request and wait for the head of the answer."""
        length = {"Content-Length": str(len(body)), "Content-Type": "application/json"} if body else {}
        fields = {**self._headers, **length, **(headers or {})}
        request = h11.Request(method=method, target=target, headers=list(fields.items()))
        parts = [request, h11.Data(body), h11.EndOfMessage()]
        self._wire.write(b"".join(self._protocol.send(part) or b"" for part in parts))
        while not isinstance(event := await self._event(), h11.Response):
            pass
        return event

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        while isinstance(event := await self._event(), h11.Data):
            yield bytes(event.data)

    async def _event(self) -> object:
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(await self._wire.read())
        return event


class WebSocket:
    """A WebSocket that listens, without compression."""

    def __init__(self, wire: Wire, uri: str) -> None:
        self._wire = wire
        self._protocol = ClientProtocol(parse_uri(uri))

    async def open(self) -> None:
        """Shake hands."""
        self._protocol.send_request(self._protocol.connect())
        await self._exchange()
        while self._protocol.handshake_exc is None and self._protocol.state.name == "CONNECTING":
            await self._exchange()
        if self._protocol.handshake_exc:
            raise self._protocol.handshake_exc

    def say(self, text: bytes) -> None:
        """Send a text message."""
        self._protocol.send_text(text)
        self._write()

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield each text message as it arrives, until the server closes."""
        while True:
            for event in self._protocol.events_received():
                if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    yield bytes(event.data)
            await self._exchange()

    async def _exchange(self) -> None:
        self._write()
        self._protocol.receive_data(await self._wire.read())

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            self._wire.write(data)
