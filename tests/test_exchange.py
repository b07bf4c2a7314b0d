"""What went over a link, read: requests and answers, events, frames, TLS, and bytes that are none of these."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import pytest
import requests
from serving_support import DEADLINE, Gate, echo, rest
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from wirelab import Link, serve, stop_all
from wirelab._exchange import Exchange, Message
from wirelab._recording import CLIENT, KEPT, KEPT_OF_A_DIRECTION, SERVER, Recorder

GET = b"GET /todos HTTP/1.1\r\nHost: here\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
UPGRADE = b"GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def exchange(*sent: tuple[str, bytes]) -> Exchange:
    """Record one connection: each piece leaves at 1, 2, 3, ... seconds and arrives half a second later."""
    recorder = Recorder()
    recording = recorder.begin(100.0, 0.0)
    for number, (sender, data) in enumerate(sent, 1):
        assert sender in (CLIENT, SERVER)
        recording.piece(sender, memoryview(data), 100.0 + number, 100.5 + number)  # type: ignore[arg-type]
    return Exchange(recorder.copy())


def read(*sent: tuple[str, bytes]) -> list[tuple[str, str, int]]:
    """Sender, kind and size of each message."""
    return [(message.sender, message.kind, message.size) for message in exchange(*sent).messages]


def in_pieces(sender: str, data: bytes, size: int) -> Iterable[tuple[str, bytes]]:
    return ((sender, data[place : place + size]) for place in range(0, len(data), size))


def frame(opcode: Opcode, data: bytes, *, mask: bool) -> bytes:
    return Frame(opcode, data).serialize(mask=mask)


def test_a_request_and_its_answer() -> None:
    seen = exchange((CLIENT, GET), (SERVER, OK + b"hello"))
    request, response, body = seen.messages
    assert request == Message("client", "request", len(GET), 1.0, 1.5, "GET /todos HTTP/1.1", ("Host: here",), GET)
    assert (response.kind, response.title, response.lines) == (
        "response",
        "HTTP/1.1 200 OK",
        ("content-length: 5",),
    )
    assert (body.kind, body.title, body.data, body.size) == ("body", "hello", b"hello", 5)
    assert (body.left, body.arrived) == (2.0, 2.5)
    assert seen.text(times=False) == (
        f"Connection 1: {len(GET)} bytes sent, {len(OK) + 5} bytes received\n"
        "──→  GET /todos HTTP/1.1\n     Host: here\n"
        "←──  HTTP/1.1 200 OK\n     content-length: 5\n"
        "←──  hello"
    )
    # The client's time on the left, the server's on the right.
    assert "  1000.0 ms ──→   1500.0 ms  GET" in repr(seen)
    assert "  2500.0 ms ←──   2000.0 ms  HTTP/1.1 200 OK" in repr(seen)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_messages_do_not_depend_on_how_they_were_cut_up(size: int) -> None:
    sent = GET + b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcHEAD / HTTP/1.1\r\n\r\n"
    received = (
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"hello" + CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n" + OK
    )
    assert sorted(read(*in_pieces(CLIENT, sent, size), *in_pieces(SERVER, received, size))) == sorted(
        [
            ("client", "request", len(GET)),
            ("client", "request", 38),
            ("client", "body", 3),
            ("client", "request", 19),
            ("server", "response", 25),
            ("server", "response", len(OK)),
            ("server", "body", 5),
            ("server", "response", len(CHUNKED)),
            ("server", "body", 24),
            ("server", "response", len(OK)),
        ]
    )


def test_a_message_begins_when_its_first_byte_left_and_ends_when_its_last_was_there() -> None:
    (request,) = exchange((CLIENT, GET[:10]), (CLIENT, GET[10:20]), (CLIENT, GET[20:])).messages
    assert (request.left, request.arrived) == (1.0, 3.5)


def test_a_chunked_body_is_shown_without_its_chunks_and_counted_with_them() -> None:
    (*_, body) = exchange((CLIENT, GET), (SERVER, CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).messages
    assert (body.data, body.size) == (b"abcde", 20)


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    (*_, body) = exchange((CLIENT, GET), (SERVER, b"HTTP/1.0 200 OK\r\n\r\nall of it")).messages
    assert (body.kind, body.data) == ("body", b"all of it")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_without_a_body_is_followed_by_the_next(status: bytes) -> None:
    nothing = b"HTTP/1.1 " + status + b"\r\ncontent-length: 5\r\n\r\n"
    kinds = [kind for _, kind, _ in read((CLIENT, GET + GET), (SERVER, nothing + OK + b"hello"))]
    assert kinds == ["request", "request", "response", "response", "body"]


def test_long_and_binary_bodies_are_shortened() -> None:
    text = exchange((CLIENT, GET), (SERVER, OK.replace(b" 5", b" 300") + b"x" * 300)).messages[-1]
    assert text.title == "x" * 199 + "… (300 bytes)"
    assert len(text.data) == 300
    binary = exchange((CLIENT, GET), (SERVER, OK + b"\x00\xff\x00\xff\x00")).messages[-1]
    assert binary.title == "00 ff 00 ff 00 (5 bytes)"
    zipped = zlib.compress(b"hello")
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(zipped)
    assert exchange((CLIENT, GET), (SERVER, head + zipped)).messages[-1].title == f"{len(zipped)} bytes"


def test_server_sent_events_are_told_apart() -> None:
    first, second = b"id: 1\ndata: one\ndata: line\n\n", b"data: two\n\n"
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (first, second, b"data: thr")]
    messages = exchange((CLIENT, GET), (SERVER, EVENTS), *((SERVER, chunk) for chunk in chunks)).messages
    events = [message for message in messages if message.kind == "event"]
    assert [event.data for event in events] == [b"one\nline", b"two"]
    assert [event.size for event in events] == [len(chunk) for chunk in chunks[:2]]
    assert [event.left for event in events] == [3.0, 4.0]
    assert events[0].title == "id: 1⏎data: one⏎data: line"
    # The third has only begun.
    assert messages[-1].kind == "bytes"


def test_events_in_one_chunk_and_an_event_in_two() -> None:
    parts = (b"data: a\n\ndata: b\n\nda", b"ta: c\r\n\r\n", b"")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    messages = exchange((CLIENT, GET), (SERVER, EVENTS + chunks)).messages[2:]
    assert [message.data for message in messages if message.kind == "event"] == [b"a", b"b", b"c"]
    assert sum(message.size for message in messages) == len(chunks)


def test_frames_are_decoded() -> None:
    sent = [
        UPGRADE,
        frame(Opcode.TEXT, b'{"symbol": "A"}', mask=True),
        frame(Opcode.PING, b"p", mask=True),
        frame(Opcode.CLOSE, b"\x03\xe8bye", mask=True),
    ]
    received = [SWITCH, frame(Opcode.BINARY, bytes(70_000), mask=False), frame(Opcode.PONG, b"p", mask=False)]
    messages = exchange((CLIENT, b"".join(sent)), (SERVER, b"".join(received))).messages
    assert [message.title for message in messages if message.kind == "frame"] == [
        'text frame (masked): {"symbol": "A"}',
        "ping frame (masked): p",
        "close frame (masked): code 1000: bye",
        "binary frame: 70000 bytes",
        "pong frame: p",
    ]
    assert [message.size for message in messages] == [*map(len, sent), *map(len, received)]
    assert messages[1].data == b'{"symbol": "A"}'


def test_fragments_and_compression_are_told() -> None:
    link = Link(serve(echo), profile="loopback")
    with connect(link.ws, proxy=None) as connection:
        for message in ("hello " * 10, "hello " * 20, ["one ", "two"]):
            connection.send(message)
            connection.recv(DEADLINE)
    titles = [message.title for message in link.exchange().messages if message.kind == "frame"]
    stop_all()
    assert f"text frame (masked, compressed): {'hello ' * 20}" in titles
    assert f"text frame (compressed): {'hello ' * 10}" in titles
    assert "text frame (masked, compressed, more follow): one " in titles
    assert any(title.startswith("continuation frame (masked") and title.endswith(": two") for title in titles)


def test_an_upgrade_that_is_refused_goes_on_as_http() -> None:
    refused = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"
    kinds = [kind for _, kind, _ in read((CLIENT, UPGRADE + GET), (SERVER, refused + OK + b"hello"))]
    assert kinds == ["request", "request", "response", "body", "response", "body"]


def test_tls_is_opaque() -> None:
    hello, data = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", b"\x17\x03\x03\x00\x02ab"
    messages = exchange(
        (CLIENT, hello + data), (SERVER, b"\x16\x03\x03\x00\x04\x02\x00\x00\x00" + data[:4])
    ).messages
    assert [message.title for message in messages] == [
        "TLS client hello, 9 bytes",
        "TLS encrypted, 7 bytes",
        "TLS server hello, 9 bytes",
        "17 03 03 00 (4 bytes)",
    ]


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"", b"220 smtp.here\r\n"),
        (b"nonsense", b"\x00\x01"),
        (GET[:20], b""),
        (GET, b"no answer at all\r\n\r\n"),
        (GET, CHUNKED + b"zz\r\n"),
        (GET, b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\nx"),
        (b"\x16\x03\x01\xff\xff\x01", b"\x15"),
        (UPGRADE + b"\x0f\xff", SWITCH + b"\x81\x85"),
        (UPGRADE + b"\x81\x05hello", SWITCH + b"\xf1\x01"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1\r\n\r\n"),
        (b"\xff" * 1000, b"\xfe" * 1000),
        (b"\x16\x03\x01\x00\x00", b"\x16\x03\x03\x00\x00"),
        (UPGRADE, SWITCH[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate; x=,;\r\n\r\n\xc1\x02ab"),
    ],
)
def test_whatever_goes_over_is_shown_and_counted(sent: bytes, received: bytes) -> None:
    messages = exchange((CLIENT, sent), (SERVER, received)).messages
    assert sum(message.size for message in messages if message.sender == CLIENT) == len(sent)
    assert sum(message.size for message in messages if message.sender == SERVER) == len(received)


def test_many_messages_are_not_all_shown() -> None:
    shown = exchange((CLIENT, GET * 100)).conversations[0]
    assert len(shown.messages) == 100
    assert shown.text().endswith("… and 60 more in .messages")


def test_ends_and_faults_stand_in_the_conversation() -> None:
    recorder = Recorder()
    recording = recorder.begin(100.0, 0.05)
    recording.mark(CLIENT, "end", 101.0, 101.2)
    recording.mark("network", "reset", 102.0, 102.0)
    shown = Exchange(recorder.copy())
    assert [message.title for message in shown.messages] == [
        "client closes its side",
        "the link resets the connection",
    ]
    assert "opening it took 50.0 ms, which the first bytes waited" in repr(shown)
    assert repr(Exchange([])) == "Nothing went over this link yet."


def test_a_recording_has_limits() -> None:
    recorder = Recorder()
    piece = memoryview(bytes(100_000))
    for _ in range(200):
        recording = recorder.begin(0.0, 0.0)
        for _ in range(3 * KEPT_OF_A_DIRECTION // len(piece)):
            recording.piece(SERVER, piece, 0.0, 0.0)
    copies = recorder.copy()
    assert [copy.cut_off[SERVER] for copy in copies] == [2 * KEPT_OF_A_DIRECTION] * len(copies)
    assert sum(len(each.data) for copy in copies for each in copy.pieces) <= KEPT
    # The newest are the ones that are kept.
    assert [copy.number for copy in copies] == list(range(201 - len(copies), 201))
    assert "2,000,000 bytes that were not kept" in repr(Exchange(copies[-1:]))


def test_a_connection_that_was_forgotten_weighs_nothing_any_more() -> None:
    recorder = Recorder()
    piece = memoryview(bytes(KEPT_OF_A_DIRECTION))
    chatty = recorder.begin(0.0, 0.0)
    for _ in range(KEPT // len(piece) + 1):
        recorder.begin(0.0, 0.0).piece(SERVER, piece, 0.0, 0.0)
    assert chatty.number not in [copy.number for copy in recorder.copy()]
    chatty.piece(SERVER, piece, 0.0, 0.0)
    chatty.mark(SERVER, "end", 0.0, 0.0)
    assert chatty.pieces == []
    before = len(recorder.copy())
    recorder.begin(0.0, 0.0).mark(SERVER, "end", 0.0, 0.0)
    assert len(recorder.copy()) == before + 1


def test_one_byte_at_a_time_is_limited_too() -> None:
    recorder = Recorder()
    first, second = recorder.begin(0.0, 0.0), recorder.begin(0.0, 0.0)
    for recording in (first, second):
        for _ in range(KEPT // 400 + 1):
            recording.piece(SERVER, memoryview(b"x"), 0.0, 0.0)
    assert [copy.number for copy in recorder.copy()] == [2]


def test_an_exchange_over_a_real_link_reads_like_the_conversation() -> None:
    link = Link(serve(rest(Gate())), delay=0.01)
    with requests.Session() as session:
        session.get(link.http, timeout=DEADLINE)
        session.post(link.http, json={"task": "x"}, timeout=DEADLINE)
    link.stop()
    request, response, body, second, sent, *_ = link.exchange().messages
    assert [message.kind for message in (request, response, body, second, sent)] == [
        *("request", "response", "body"),
        *("request", "body"),
    ]
    assert sent.data == b'{"task": "x"}'
    # Three halves of a round trip up, because the connection is new; half of one down; half of one up.
    assert request.arrived - request.left >= 0.03
    assert response.arrived - response.left >= 0.01
    assert second.arrived - second.left >= 0.01
    assert sum(message.size for message in link.exchange().messages) == link.sent + link.received
    stop_all()
