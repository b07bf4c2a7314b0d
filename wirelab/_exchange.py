"""What went over an emulated network, taken apart: HTTP/1.1, server-sent events, WebSocket; TLS stays opaque."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from websockets.exceptions import ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.streams import StreamReader

from ._recording import CLIENT, SERVER, Piece, Recording, Sender
from .wire import FRAME_KINDS, frame_meaning

Kind: TypeAlias = Literal["request", "response", "body", "event", "frame", "tls", "bytes", "end", "reset"]

# Characters of a text, bytes of what is none, and messages of a connection that are shown.
SHOWN_TEXT, SHOWN_BYTES, SHOWN_MESSAGES = 200, 12, 40

CHUNK = re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r\n")
# A server-sent event ends with an empty line, whose ends may be of three kinds.
END_OF_EVENT = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)|(?<=\r\r)")
REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\.[01]\r\n")
STATUS_LINE = re.compile(rb"HTTP/1\.[01] [0-9]{3}")
# Names of TLS records and of the handshake's messages that are not encrypted (RFC 8446, sections 4 and 5.1).
TLS_RECORDS = {20: "change cipher spec", 21: "alert", 22: "handshake", 23: "encrypted"}
TLS_HANDSHAKE = {1: "client hello", 2: "server hello"}
ARROWS = {CLIENT: "──→", SERVER: "←──", "network": "─✕─"}


@dataclass(frozen=True)
class Message:
    """One thing that was sent.

    Attributes:
        sender: "client" or "server"; "network" for a fault of the link itself.
        kind: "request" or "response": the head of one, its body apart; "body"; "event": one server-sent event;
            "frame": one WebSocket frame; "tls": one TLS record; "bytes": anything else; "end": nothing more comes
            from this sender; "reset": the connection broke.
        size: bytes on the wire.
        left: when its first byte left the sender.
        arrived: when its last byte was at the other end. Both in seconds since the client opened the connection.
        title: what it is, in a line.
        lines: what else a person would read of it: headers, say.
        data: its content: the bytes of a head, of a body, an event's data or a frame's payload, decoded.
    """

    sender: Sender
    kind: Kind
    size: int
    left: float
    arrived: float
    title: str
    lines: tuple[str, ...] = ()
    data: bytes = b""

    def text(self, *, times: bool = True) -> str:
        """The message as a person reads it: the time at the client on the left, at the server on the right."""
        at_client, at_server = (self.arrived, self.left) if self.sender == SERVER else (self.left, self.arrived)
        arrow = ARROWS[self.sender]
        start = f"{1000 * at_client:10.1f} ms {arrow} {1000 * at_server:8.1f} ms  " if times else f"{arrow}  "
        return "\n".join([start + self.title, *(" " * len(start) + line for line in self.lines)])


@dataclass(frozen=True)
class Conversation:
    """What went over one connection.

    Attributes:
        number: counts the link's connections from 1.
        handshake: seconds that the opening of the connection took; the first bytes have them on their way.
        messages: what was sent, in the order in which the client saw it.
        cut_off: bytes beyond the first million of each direction, which are not kept.
    """

    number: int
    handshake: float
    messages: tuple[Message, ...]
    cut_off: int

    def text(self, *, times: bool = True) -> str:
        """The conversation as a person reads it."""
        sent, received = (
            sum(message.size for message in self.messages if message.sender == sender)
            for sender in (CLIENT, SERVER)
        )
        rows = [f"Connection {self.number}: {_bytes(sent)} sent, {_bytes(received)} received"]
        if times:
            if self.handshake:
                rows[0] += f"; opening it took {1000 * self.handshake:.1f} ms, which the first bytes waited"
            rows.append(f"{'client':>10}{'server':>17}")
        rows += [message.text(times=times) for message in self.messages[:SHOWN_MESSAGES]]
        if len(self.messages) > SHOWN_MESSAGES:
            rows.append(f"… and {len(self.messages) - SHOWN_MESSAGES} more in .messages")
        if self.cut_off:
            rows.append(f"… and {_bytes(self.cut_off)} that were not kept")
        return "\n".join(rows)

    def __repr__(self) -> str:
        return self.text()


class Exchange:
    """What went over a link: print it, or compute with it.

    Attributes:
        conversations: one for each connection, oldest first.
    """

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self.conversations = tuple(_conversation(recording) for recording in recordings)

    @property
    def messages(self) -> list[Message]:
        """Every message of every connection, one connection after the other."""
        return [message for conversation in self.conversations for message in conversation.messages]

    def text(self, *, times: bool = True) -> str:
        """The exchange as a person reads it.

        Args:
            times: with the times in milliseconds, which differ from run to run.
        """
        return "\n\n".join(conversation.text(times=times) for conversation in self.conversations)

    def __repr__(self) -> str:
        return self.text() or "Nothing went over this link yet."


class Stream:
    """What one side sent, with a place up to which it is taken apart."""

    def __init__(self, sender: Sender, pieces: Sequence[Piece], opened: float) -> None:
        self.sender = sender
        self.data = b"".join(piece.data for piece in pieces)
        self.place = 0
        self._starts = [0, *itertools.accumulate(len(piece.data) for piece in pieces)]
        self._pieces = pieces
        self._opened = opened

    @property
    def left(self) -> int:
        """How many bytes are not taken apart yet."""
        return len(self.data) - self.place

    def ahead(self, size: int) -> bytes:
        """The next `size` bytes."""
        return self.data[self.place : self.place + size]

    def message(
        self, kind: Kind, size: int, title: str, lines: Iterable[str] = (), data: bytes | None = None
    ) -> Message:
        """Make a message of the next `size` bytes, at least one."""
        first = self._pieces[bisect.bisect_right(self._starts, self.place) - 1]
        last = self._pieces[bisect.bisect_right(self._starts, self.place + size - 1) - 1]
        taken = self.ahead(size)
        self.place += size
        return Message(
            self.sender,
            kind,
            size,
            first.left - self._opened,
            last.arrived - self._opened,
            title,
            tuple(lines),
            taken if data is None else data,
        )

    def rest(self) -> Iterator[Message]:
        """Make one message of all that is left."""
        if size := self.left:
            yield self.message("bytes", size, _shown(self.ahead(size)))


class Head(NamedTuple):
    """The head of a request or a response."""

    first_line: str
    headers: tuple[tuple[str, str], ...]
    size: int

    def get(self, name: str) -> str:
        """A header field's value in small letters, "" if it is not there."""
        return ", ".join(value for key, value in self.headers if key.lower() == name).lower()

    def message(self, stream: Stream, kind: Kind) -> Message:
        """Make a message of it."""
        return stream.message(
            kind, self.size, self.first_line, (f"{name}: {value}" for name, value in self.headers)
        )


def _conversation(recording: Recording) -> Conversation:
    client, server = (
        Stream(
            sender,
            [piece for piece in recording.pieces if piece.sender == sender and piece.kind == "bytes"],
            recording.opened,
        )
        for sender in (CLIENT, SERVER)
    )
    messages = [*_read(client, server), *client.rest(), *server.rest()]
    for piece in recording.pieces:
        if piece.kind != "bytes":
            title = "closes its side" if piece.kind == "end" else "resets the connection"
            messages.append(
                Message(
                    piece.sender,
                    piece.kind,
                    0,
                    piece.left - recording.opened,
                    piece.arrived - recording.opened,
                    f"{'the link' if piece.sender == 'network' else piece.sender} {title}",
                )
            )
    messages.sort(key=lambda message: message.arrived if message.sender == SERVER else message.left)
    return Conversation(recording.number, recording.handshake, tuple(messages), sum(recording.cut_off.values()))


def _read(client: Stream, server: Stream) -> Iterator[Message]:
    if _is_tls(client.data):
        yield from _tls(client)
        yield from _tls(server)
    elif REQUEST_LINE.match(client.data):
        yield from _http(client, server)


# HTTP/1.1 (RFC 9112)


def _http(client: Stream, server: Stream) -> Iterator[Message]:
    while request := _head(client):
        yield request.message(client, "request")
        yield from _body(client, request, has_body=bool(request.get("content-length")))
        while response := _head(server):
            yield response.message(server, "response")
            status = response.first_line.split()[1]
            if status == "101":
                if response.get("upgrade") == "websocket":
                    yield from _frames(client, response)
                    yield from _frames(server, response)
                return
            if not status.startswith("1"):
                nothing = request.first_line.startswith("HEAD ") or status in ("204", "304")
                yield from _body(server, response, has_body=not nothing)
                break


def _head(stream: Stream) -> Head | None:
    """Read a head, if all of it is there."""
    end = stream.data.find(b"\r\n\r\n", stream.place)
    first = REQUEST_LINE if stream.sender == CLIENT else STATUS_LINE
    if end < 0 or not first.match(stream.data, stream.place):
        return None
    first_line, *fields = stream.data[stream.place : end].decode("latin-1").split("\r\n")
    headers = tuple((name.strip(), value.strip()) for name, _, value in (field.partition(":") for field in fields))
    return Head(first_line, headers, end + 4 - stream.place)


def _body(stream: Stream, head: Head, *, has_body: bool) -> Iterator[Message]:
    if head.get("transfer-encoding") == "chunked":
        parts = list(_chunks(stream))
    elif has_body:
        # Without a length it ends with the connection.
        length = head.get("content-length")
        size = min(int(length), stream.left) if length.isdecimal() else stream.left
        parts = [(size, stream.ahead(size))]
    else:
        return
    if head.get("content-type").startswith("text/event-stream"):
        yield from _events(stream, parts)
    elif size := sum(size for size, _ in parts):
        content = b"".join(part for _, part in parts)
        title = _bytes(len(content)) if head.get("content-encoding") else _shown(content)
        yield stream.message("body", size, title, data=content)


def _chunks(stream: Stream) -> Iterator[tuple[int, bytes]]:
    """Yield the size of each whole chunk on the wire and what is in it; the last one is empty."""
    place = stream.place
    while found := CHUNK.match(stream.data, place):
        size = int(found[1], 16)
        end = found.end() + size + 2
        if not size:
            # Fields may follow, then an empty line.
            end = stream.data.find(b"\r\n\r\n", found.end() - 2) + 4
        if end > len(stream.data) or end < found.end():
            return
        yield end - place, stream.data[found.end() : found.end() + size]
        place = end
        if not size:
            return


def _events(stream: Stream, parts: Iterable[tuple[int, bytes]]) -> Iterator[Message]:
    """Make a message of each server-sent event (HTML, section 9.2); what wraps it counts for the event."""
    unread, size = b"", 0
    for on_the_wire, content in parts:
        size += on_the_wire
        *events, unread = END_OF_EVENT.split(unread + content)
        for number, event in enumerate(events, 1):
            taken = size if number == len(events) and not unread else min(size, len(event))
            size -= taken
            fields = event.decode(errors="replace").splitlines()
            data = "\n".join(line[5:].removeprefix(" ") for line in fields if line.startswith("data:"))
            yield stream.message("event", taken, _shown(event.strip()), data=data.encode())
        if not content and size:
            yield stream.message("body", size, "the end of the body")
            size = 0


# WebSocket (RFC 6455)


def _frames(stream: Stream, response: Head) -> Iterator[Message]:
    reader = StreamReader()
    reader.feed_data(stream.ahead(stream.left))
    extensions = _extensions(stream.sender, response)
    while reader.buffer:
        compressed = bool(reader.buffer[0] & 0x40)
        before = len(reader.buffer)
        try:
            next(Frame.parse(reader.read_exact, mask=stream.sender == CLIENT, extensions=extensions))
            # It waits for the rest of the frame.
            return
        except StopIteration as found:
            frame: Frame = found.value
        except (ProtocolError, ValueError):
            return
        details = [
            name for name, told in (("masked", stream.sender == CLIENT), ("compressed", compressed)) if told
        ]
        if not frame.fin:
            details.append("more follow")
        about = f" ({', '.join(details)})" if details else ""
        content = _shown_text(frame_meaning(frame.opcode, bytes(frame.data)))
        title = f"{FRAME_KINDS[frame.opcode]} frame{about}: {content}"
        yield stream.message("frame", before - len(reader.buffer), title, data=bytes(frame.data))


def _extensions(sender: Sender, response: Head) -> list[Extension]:
    """What undoes the compression that the handshake agreed on (RFC 7692)."""
    header = response.get("sec-websocket-extensions")
    if "permessage-deflate" not in header:
        return []
    bits = re.search(rf"{sender}_max_window_bits=(8|9|1[0-5])\b", header)
    return [PerMessageDeflate(f"{sender}_no_context_takeover" in header, False, int(bits[1]) if bits else 15, 15)]


# TLS (RFC 8446)


def _is_tls(data: bytes) -> bool:
    return len(data) >= 5 and data[0] in TLS_RECORDS and data[1] == 3


def _tls(stream: Stream) -> Iterator[Message]:
    encrypted = False
    while _is_tls(head := stream.ahead(6)):
        size = 5 + int.from_bytes(head[3:5])
        if size > stream.left:
            return
        kind = TLS_RECORDS[head[0]]
        if kind == "handshake" and size > 5 and not encrypted:
            kind = TLS_HANDSHAKE.get(head[5], kind)
        encrypted = encrypted or kind in ("change cipher spec", "encrypted")
        yield stream.message("tls", size, f"TLS {kind}, {_bytes(size)}")


# Words


def _shown(content: bytes) -> str:
    """Some content in a line: its text, or where it has none its first bytes."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if all(char.isprintable() or char.isspace() for char in text):
        return _shown_text(text)
    start = content[:SHOWN_BYTES].hex(" ")
    return f"{start}{' …' if len(content) > SHOWN_BYTES else ''} ({_bytes(len(content))})"


def _shown_text(text: str) -> str:
    whole = len(text.encode())
    line = text.replace("\r\n", "⏎").replace("\n", "⏎")
    return line if len(line) <= SHOWN_TEXT else f"{line[: SHOWN_TEXT - 1]}… ({_bytes(whole)})"


def _bytes(count: int) -> str:
    return f"{count:,} byte{'' if count == 1 else 's'}"
