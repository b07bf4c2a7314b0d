"""The clients of lesson 03 speak their protocols, on as many connections as they say, and end what they open."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
import trustme
from serving_support import Leftovers
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
from websockets.exceptions import InvalidStatus

from wirelab import Server, serve
from wirelab.clients import (
    bare_http,
    bare_websocket,
    in_turn,
    new_http,
    new_websocket,
    pipelined_http,
    pipelined_websocket,
    sessions_in_parallel,
    standard_http,
    thin_websocket,
)
from wirelab.measure import Call, keep_alive, websocket_echo

HTTP: list[Callable[[str], AbstractContextManager[Call]]] = [bare_http, standard_http, new_http]
WEBSOCKET: list[Callable[[str], AbstractContextManager[Call]]] = [bare_websocket, thin_websocket, new_websocket]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve("wirelab.apps.echo:app") as running:
        yield running
        assert running.errors == []


@pytest.fixture
def counter(server: Server) -> Iterator[Callable[[], int]]:
    """Stand before the server, and yield a function that tells how many connections there have been."""
    with counting(server.port) as counted:
        yield counted


@contextmanager
def counting(port: int) -> Iterator[Any]:
    """Pass connections on to a port and count them. The function that is yielded has the new port as `port`."""
    opened: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", port))
            opened.extend((client, upstream))
            for pair in ((client, upstream), (upstream, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()

    def counted() -> int:
        return len(opened) // 2

    counted.port = listener.getsockname()[1]
    yield counted
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for sock in opened:
        sock.close()


@pytest.mark.parametrize("client", HTTP)
def test_http_clients_get_what_they_asked_for(server: Server, client: Callable[..., Any]) -> None:
    with client(server.http + "/echo?message=hello") as call:
        assert [call() for _ in range(3)] == [b"hello"] * 3


@pytest.mark.parametrize("client", WEBSOCKET)
def test_websocket_clients_get_their_message_back(server: Server, client: Callable[..., Any]) -> None:
    with client(server.ws + "/echo", message="hello") as call:
        assert [call() for _ in range(3)] == ["hello"] * 3 or [call() for _ in range(3)] == [b"hello"] * 3


def test_pipelined_answers_are_all_there(server: Server) -> None:
    with pipelined_http(server.http + "/echo?message=hello", 50) as send:
        assert send() == [b"hello"] * 50
    with pipelined_websocket(server.ws + "/echo", 50, "hello") as send:
        assert send() == ["hello"] * 50


def test_each_opens_as_many_connections_as_it_says(counter: Any) -> None:
    http, ws = f"http://127.0.0.1:{counter.port}/echo", f"ws://127.0.0.1:{counter.port}/echo"
    expected = {
        bare_http(http): 1,
        standard_http(http): 1,
        new_http(http): 7,
        bare_websocket(ws): 1,
        thin_websocket(ws): 1,
        new_websocket(ws): 7,
        in_turn(keep_alive(http), 30): 1,
        in_turn(websocket_echo(ws), 30): 1,
        # One beforehand.
        in_turn(new_http(http), 2): 15,
        sessions_in_parallel(http, 30, sessions=3): 3,
        pipelined_http(http, 30): 1,
        pipelined_websocket(ws, 30): 1,
    }
    before = 0
    for contender, connections in expected.items():
        with contender as call:
            for _ in range(7):
                call()
        assert counter() - before == connections, contender.func.__name__
        before = counter()


def test_tls_is_verified(server: Server) -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with (
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.tempfile() as pem,
        serve("wirelab.apps.echo:app", ssl_certfile=pem) as secure,
    ):
        with new_http(secure.http + "/echo?message=hello", trusting) as call:
            assert call() == b"hello"
        with new_websocket(secure.ws + "/echo", trusting, "hello") as call:
            assert call() == "hello"
        for stranger in (new_http(secure.http + "/echo"), new_websocket(secure.ws + "/echo")):
            with stranger as call, pytest.raises(ssl.SSLCertVerificationError):
                call()


@pytest.mark.parametrize("client", HTTP)
def test_an_error_status_is_no_answer(server: Server, client: Callable[..., Any]) -> None:
    with client(server.http + "/nothing") as call, pytest.raises(ConnectionError, match="404"):
        call()


@pytest.mark.parametrize("client", WEBSOCKET)
def test_what_is_no_websocket_is_named(server: Server, client: Callable[..., Any]) -> None:
    with pytest.raises((ConnectionError, InvalidStatus), match=r"40[34]"), client(server.ws + "/nothing") as call:
        call()


def test_an_answer_without_a_length_is_refused() -> None:
    app = Starlette(routes=[Route("/", lambda request: StreamingResponse(iter([b"part"])))])
    with (
        serve(app) as server,
        bare_http(server.http + "/") as call,
        pytest.raises(ConnectionError, match="how long"),
    ):
        call()


@pytest.mark.parametrize("client", [*HTTP, *WEBSOCKET])
def test_a_server_that_leaves_raises(client: Callable[..., Any]) -> None:
    with serve("wirelab.apps.echo:app") as server, ExitStack() as stack:
        scheme = server.ws if client in WEBSOCKET else server.http
        call = stack.enter_context(client(scheme + "/echo"))
        call()
        server.stop()
        with pytest.raises(ConnectionError):
            call()


def test_a_long_message_is_refused_by_the_simplest_client(server: Server) -> None:
    with pytest.raises(ValueError, match="at most 125 bytes; got 126"), bare_websocket(server.ws, "x" * 126):
        pass


def test_nothing_is_left_behind(server: Server) -> None:
    def everything() -> None:
        with ExitStack() as stack:
            for client in HTTP:
                stack.enter_context(client(server.http + "/echo"))()
            for client in WEBSOCKET:
                stack.enter_context(client(server.ws + "/echo"))()
            stack.enter_context(sessions_in_parallel(server.http + "/echo", 30))()
            stack.enter_context(pipelined_http(server.http + "/echo", 30))()
            stack.enter_context(pipelined_websocket(server.ws + "/echo", 30))()

    with serve("wirelab.apps.echo:app", process=True) as server:
        everything()
        leftovers = Leftovers()
        everything()
        leftovers.check()
