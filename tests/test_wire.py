"""Bare connections against real servers; frames against the examples of RFC 6455."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.frames import Close, Frame, Opcode

from wirelab import Server, serve
from wirelab.wire import RawConnection, dissect, talk

# From RFC 6455, sections 1.3 and 4.2.2.
HANDSHAKE = """
GET / HTTP/1.1
Host: 127.0.0.1
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13
"""
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


async def mirror(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the request's line, headers and body, as the server understood them."""
    if scope["type"] != "http":
        return
    body = (await receive())["body"]
    head = [f"{scope['method']} {scope['path']}"] + [f"{k.decode()}: {v.decode()}" for k, v in scope["headers"]]
    answer = "\n".join([*head, body.decode()]).encode()
    headers = [(b"Content-Length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    # In two parts, as they may come in two packets.
    await send({"type": "http.response.body", "body": answer[:5], "more_body": True})
    await send({"type": "http.response.body", "body": answer[5:]})


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


@pytest.fixture(scope="module")
def rest() -> Iterator[Server]:
    with serve(mirror, date_header=False) as server:
        yield server


@pytest.fixture(scope="module")
def echoing() -> Iterator[Server]:
    with serve(echo) as server:
        yield server


class TestTalk:
    def test_sends_these_lines_and_returns_the_whole_answer(self, rest: Server) -> None:
        answer = talk(rest, "\nGET /todos HTTP/1.1\nHost: here\n")
        assert answer.startswith("HTTP/1.1 200 OK\n")
        assert answer.endswith("\n\nGET /todos\nhost: here\nconnection: close\n")
        assert "\r" not in answer

    def test_adds_the_length_of_a_body_in_bytes(self, rest: Server) -> None:
        answer = talk(rest, "\nPOST /todos HTTP/1.1\nHost: here\n\nzwölf\n\nleft")
        assert "content-length: 12\n" in answer
        assert answer.endswith("\nzwölf\n\nleft")

    def test_takes_a_url_as_well_and_refuses_what_is_neither(self, rest: Server) -> None:
        assert talk(rest.http, "GET / HTTP/1.1\nHost: here").startswith("HTTP/1.1 200 OK\n")
        with pytest.raises(TypeError, match=r"Hand over a server, or its URL as in server\.http, not 8000"):
            talk(8000, "GET / HTTP/1.1\nHost: here")  # type: ignore[arg-type]

    def test_hands_over_what_is_no_http(self, rest: Server) -> None:
        assert talk(rest, "nonsense").startswith("HTTP/1.1 400")


class TestRawConnection:
    def test_asks_several_times_on_one_connection(self, rest: Server) -> None:
        with RawConnection(rest) as connection:
            for path in ("/first", "/second"):
                answer = connection.ask(f"\nGET {path} HTTP/1.1\nHost: here\n")
                assert answer.endswith(f"\n\nGET {path}\nhost: here\n")
            assert connection.hear(0.05) == b""

    def test_counts_the_bytes_of_both_directions(self, rest: Server) -> None:
        with RawConnection(rest) as connection:
            answer = connection.ask("GET / HTTP/1.1\nHost: here")
            assert connection.sent == len("GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            head, _, body = answer.partition("\n\n")
            assert connection.received == len(head) + head.count("\n") + 4 + len(body)

    def test_opens_a_websocket_and_speaks_frames(self, echoing: Server) -> None:
        with RawConnection(echoing) as connection:
            answer = connection.ask(HANDSHAKE)
            assert answer.startswith("HTTP/1.1 101 Switching Protocols\n")
            assert f"Sec-WebSocket-Accept: {ACCEPT}\n" in answer
            connection.send(bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58"))
            assert connection.read(7) == b"\x81\x05Hello"
            connection.send(Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True))
            assert connection.rest() == b"\x88\x02\x03\xe8"
            with pytest.raises(ConnectionError, match="closed"):
                connection.read(1)

    def test_hears_what_comes_unasked_until_the_time_is_over(self) -> None:
        async def speak(websocket: ServerConnection) -> None:
            await websocket.send("one")
            await asyncio.sleep(0.05)
            await websocket.send("two")
            await websocket.wait_closed()

        with serve(speak) as server, RawConnection(server) as connection:
            connection.ask(HANDSHAKE)
            began = time.perf_counter()
            assert connection.hear(1.0) == b"\x81\x03one\x81\x03two"
            assert time.perf_counter() - began > 0.99

    def test_stops_hearing_when_the_server_closes(self, rest: Server) -> None:
        with RawConnection(rest) as connection:
            connection.send(b"nonsense\r\n\r\n")
            began = time.perf_counter()
            assert connection.hear(30.0).startswith(b"HTTP/1.1 400")
            assert time.perf_counter() - began < 15


class TestDissect:
    @pytest.mark.parametrize(
        ("frame", "lines"),
        [
            # RFC 6455, section 5.7.
            ("81 05 48 65 6c 6c 6f", ["1 FIN the last frame", "0 MASK not masked", "payload Hello"]),
            ("81 85 37 fa 21 3d 7f 9f 4d 51 58", ["37 fa 21 3d mask", "7f 9f 4d 51 58 payload Hello"]),
            ("01 03 48 65 6c", ["0 FIN more frames follow", "0001 opcode 1: text", "0000011 length 3 bytes"]),
            ("80 02 6c 6f", ["1 FIN", "0000 opcode 0: continuation", "payload lo"]),
            ("89 05 48 65 6c 6c 6f", ["1001 opcode 9: ping", "payload Hello"]),
            ("8a 85 37 fa 21 3d 7f 9f 4d 51 58", ["1010 opcode 10: pong", "payload Hello"]),
            ("82 7e 01 00" + 256 * "ab", ["0010 opcode 2: binary", "length in the next 2", "01 00 length 256"]),
            ("82 7f 00 00 00 00 00 01 00 00" + 65536 * "ab", ["length in the next 8", "length 65536 bytes"]),
            # Section 5.5.1, and what a peer may send wrongly.
            ("88 02 03 e8", ["1000 opcode 8: close", "03 e8 payload code 1000"]),
            ("88 05 03 f3 6f 68 21", ["payload code 1011: oh!"]),
            ("88 01 03", ["payload 1 byte"]),
            ("c1 01 48", ["100 RSV an extension is in use"]),
            ("81 01 ff", ["payload 1 byte"]),
            ("88 00", ["0000000 length 0 bytes"]),
        ],
        ids=lambda value: value[:20] if isinstance(value, str) else "",
    )
    def test_names_each_field(self, frame: str, lines: list[str]) -> None:
        told = [" ".join(line.split()) for line in dissect(bytes.fromhex(frame)).splitlines()]
        for expected in lines:
            assert any(expected in line for line in told), told

    @pytest.mark.parametrize("masked", [True, False])
    @pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536])
    def test_agrees_with_what_websockets_writes(self, masked: bool, length: int) -> None:
        told = dissect(Frame(Opcode.TEXT, b"x" * length).serialize(mask=masked))
        assert f"length   {length} byte" in told
        assert told.endswith("x" * length)

    @pytest.mark.parametrize("broken", ["", "81", "81 05 48", "81 7e 01", "83 00", "81 01 48 49", "81 81 00 00"])
    def test_refuses_what_is_not_exactly_one_frame(self, broken: str) -> None:
        with pytest.raises(ValueError, match="frame"):
            dissect(bytes.fromhex(broken))
