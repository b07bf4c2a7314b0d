"""The HTTP client of the checks, against servers that behave and servers that do not; and its transcript."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import h11
import pytest
from lab_answers import answers, deliverables, judge
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from wirelab.checks.http_client import Client, TooLong
from wirelab.checks.transcript import LINES_KEPT, WEBSOCKET_LOGGERS, Transcript, current, recording

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
DEADLINE = 10

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Script:
    """A server that answers the requests of each connection with given bytes, then closes it.

    Attributes:
        heads: of the requests, connection by connection.
    """

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers
        self.heads: list[list[str]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads: list[str] = []
        self.heads.append(heads)
        try:
            for answer in self.answers:
                heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass
        writer.close()


@asynccontextmanager
async def talking_to(handler: Handler, limit: int = 1000) -> AsyncIterator[Client]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(DEADLINE), server, Client("127.0.0.1", port, limit) as client:
        yield client


def run(*answers: bytes, requests: int = 1, limit: int = 1000) -> tuple[list[tuple[int, bytes]], Script]:
    """What a client gets of a server that says this."""
    script = Script(*answers)

    async def ask() -> list[tuple[int, bytes]]:
        async with talking_to(script, limit) as client:
            got = [await client.ask("GET", "/todos", {}) for _ in range(requests)]
            return [(answer.status, answer.body) for answer in got]

    return asyncio.run(ask()), script


def test_a_connection_is_used_again() -> None:
    got, script = run(OK, OK, OK, requests=3)
    assert got == [(200, b"ok")] * 3
    assert [len(heads) for heads in script.heads] == [3]


def test_another_connection_where_the_server_has_closed() -> None:
    for answer in (OK, b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok", b"HTTP/1.0 200 OK\r\n\r\nok"):
        got, script = run(answer, requests=3)
        assert got == [(200, b"ok")] * 3
        assert [len(heads) for heads in script.heads] == [1, 1, 1]


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_body_that_must_not_be_garbles_no_other_answer(status: bytes) -> None:
    got, _ = run(b"HTTP/1.1 " + status + b"\r\n\r\nHTTP/1.1 500 Oops\r\n\r\n", requests=2)
    assert got == [(int(status[:3]), b"")] * 2


def test_chunks_and_what_comes_before() -> None:
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert run(head + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n")[0] == [(200, b"ok")]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "Server disconnected without sending a response"),
        (b"HTTP/1.1 200", "Server disconnected without sending a response"),
        (b"nonsense\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "without sending complete message body"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\nok", "bad Content-Length"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", "without a pending proposal"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000, "Receive buffer too long"),
    ],
)
def test_what_is_no_answer(answer: bytes, words: str) -> None:
    with pytest.raises(h11.RemoteProtocolError, match=words):
        run(answer)


def test_too_long() -> None:
    with pytest.raises(TooLong):
        run(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000, limit=1000)


def test_no_server() -> None:
    async def ask() -> None:
        async with talking_to(Script()) as client:
            port = client._port
        async with Client("127.0.0.1", port, 1000) as client:
            await client.ask("GET", "/", {})

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(ask())


def test_what_is_sent() -> None:
    script = Script(OK, OK, OK, OK)

    async def ask() -> None:
        async with talking_to(script) as client:
            await client.ask("GET", "/a b?c=ö&d=%20#e", {"Accept": "text/plain"})
            await client.ask("POST", "", {"x": "y"})

    asyncio.run(ask())
    first, second = script.heads[0]
    assert first.startswith("GET /a%20b?c=%C3%B6&d=%20 HTTP/1.1\r\nhost: 127.0.0.1:")
    assert "accept: text/plain\r\n" in first
    assert "*/*" not in first
    assert second.startswith("POST / HTTP/1.1\r\n")
    assert "content-length: 0\r\n" in second


def test_fields_that_come_twice_and_odd_letters() -> None:
    async def ask() -> dict[str, str]:
        answer = b"HTTP/1.1 200 OK\r\nLink: a\r\nlink: b\r\nX: \xc3\xb6\r\nY: \xf6\r\ncontent-length: 0\r\n\r\n"
        async with talking_to(Script(answer)) as client:
            return (await client.ask("GET", "/", {})).headers

    headers = asyncio.run(ask())
    assert headers == {"link": "a, b", "x": "ö", "y": "ö", "content-length": "0"}


def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    script = Script(OK, OK)

    async def ask() -> None:
        async with talking_to(script) as client:
            await asyncio.gather(*(client.ask("GET", "/", {}) for _ in range(5)))

    asyncio.run(ask())
    assert len(script.heads) == 5


def test_request_that_is_given_up_hangs_up() -> None:
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()
        writer.close()

    async def ask() -> None:
        async with talking_to(silent) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.ask("GET", "/x" * 10, {})
            await gone.wait()

    asyncio.run(ask())


def test_transcript_of_http() -> None:
    async def ask() -> tuple[str, ...]:
        async with talking_to(Script(OK, b"nonsense\r\n\r\n")) as client:
            await client.ask("GET", "/unseen", {})
            with recording() as transcript:
                assert current() is transcript
                with pytest.raises(h11.ProtocolError):
                    await client.ask("POST", "/todos", {"content-type": "text/plain"}, b"one\ntwo")
            assert current() is None
            return transcript.texts()

    sent, got = asyncio.run(ask())
    assert sent.endswith("ms  → POST /todos | content-type: text/plain | one two")
    assert "✕ RemoteProtocolError" in got


def test_transcript_of_websocket() -> None:
    """Only of what runs in the recorded task; afterwards the library is as silent as before."""
    before = [logging.getLogger(name).level for name in WEBSOCKET_LOGGERS]

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def talk(uri: str, text: str) -> None:
        async with connect(uri, proxy=None) as client:
            await client.send(text)
            await client.recv()

    async def both() -> tuple[str, ...]:
        async with asyncio.timeout(DEADLINE), serve_websocket(echo, "127.0.0.1", 0) as server:
            uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            other = asyncio.ensure_future(talk(uri, "unheard"))
            with recording() as transcript:
                await talk(uri, "hello")
            await other
            await talk(uri, "too late")
        return transcript.texts()

    texts = asyncio.run(both())
    told = [text.partition(" ms  ")[2] for text in texts]
    assert told[:4] == [
        "→ GET / HTTP/1.1 | Upgrade: websocket | Connection: Upgrade",
        "← HTTP/1.1 101 Switching Protocols | Upgrade: websocket | Connection: Upgrade",
        "→ TEXT [5 bytes] hello",
        "← TEXT [5 bytes] hello",
    ]
    assert "→ CLOSE 1000 (OK) [2 bytes]" in told
    text = "\n".join(texts)
    assert "unheard" not in text
    assert "too late" not in text
    assert [logging.getLogger(name).level for name in WEBSOCKET_LOGGERS] == before


def test_transcript_tells_connections_apart() -> None:
    """A message stands there as it was sent, also a long one; the header of each handshake is one line."""

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    long = '{"symbol": "\\u00d6l"}' + 150 * "y"

    async def both() -> tuple[str, ...]:
        async with asyncio.timeout(DEADLINE), serve_websocket(echo, "127.0.0.1", 0) as server:
            uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with recording() as transcript:
                async with connect(uri, proxy=None, origin="http://a") as one, connect(uri, proxy=None) as two:
                    for client, message in ((two, long), (one, b"\x00\x01")):
                        await client.send(message)
                        await client.recv()
        return transcript.texts()

    told = [text.partition(" ms  ")[2] for text in asyncio.run(both())]
    assert told[0].startswith("#1 → GET / HTTP/1.1 | ")
    assert " | Origin: http://a" in told[0]
    assert told[2].startswith("#2 → GET / HTTP/1.1 | Upgrade: websocket")
    assert told[4:8] == [
        f"#2 → TEXT [{len(long)} bytes] {long}",
        f"#2 ← TEXT [{len(long)} bytes] {long}",
        "#1 → BINARY 00 01 [2 bytes]",
        "#1 ← BINARY 00 01 [2 bytes]",
    ]


@pytest.mark.parametrize(
    ("lab", "exercise", "fault"),
    [
        ("02_price_stream", "follow", "✕ the check cut the line"),
        ("06_reliable_feed", "reconnect", "✕ the check "),
        ("08_live_board", "recover", "✕ the check reset every connection"),
    ],
)
def test_transcript_holds_the_faults_that_a_check_plays(lab: str, exercise: str, fault: str) -> None:
    right = answers(lab, "right")[0]
    with recording() as transcript:
        results = judge(lab, deliverables(right), exercise)
    assert all(result.passed for result in results)
    assert any(line.text.startswith(fault) for line in transcript.lines)


def test_transcript_names_what_was_given_up() -> None:
    transcript = Transcript()
    transcript.fault(asyncio.CancelledError())
    transcript.fault(EOFError())
    transcript.fault(OSError("no route"))
    assert [line.text for line in transcript.lines] == [
        "✕ given up, because the time for it was over",
        "✕ EOFError",
        "✕ OSError: no route",
    ]


def test_transcript_has_an_end() -> None:
    transcript = Transcript()
    for _ in range(LINES_KEPT + 7):
        transcript.add("x" * 10_000)
    texts = transcript.texts()
    assert len(texts) == LINES_KEPT + 1
    assert texts[-1] == "… and 7 more lines"
    assert max(map(len, texts)) < 400
