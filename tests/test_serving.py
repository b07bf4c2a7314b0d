"""`serve`: ready on return, on loopback only, without Nagle's delay, and quick to say why it does not start."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import requests
import uvicorn
from fastapi import FastAPI
from serving_support import (
    DEADLINE,
    Gate,
    echo,
    get,
    handler,
    hello,
    is_free,
    make_hello,
    read_until,
    request_open,
    rest,
    upgrade,
    wait_until,
)
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from websockets.asyncio.client import connect as connect_async
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from wirelab import ServeError, Server, _background, serve, serving, stop_all
from wirelab._faults import describe_error


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    stop_all()


def exchange(server: Server) -> None:
    """Have the server answer over each protocol that it speaks."""
    if server.name.endswith("echo"):
        with connect(server.ws, proxy=None) as websocket:
            websocket.send("hi")
            assert websocket.recv(DEADLINE) == "hi"
    else:
        assert requests.get(server.http, timeout=DEADLINE).text == "hello"


# Starting


@pytest.mark.parametrize("app", [hello, echo, "serving_support:hello", "serving_support:echo"])
def test_answers_as_soon_as_serve_returns(app: Any) -> None:
    for _ in range(20):
        with serve(app) as server:
            exchange(server)


@pytest.mark.parametrize("app", [make_hello, "serving_support:make_hello"])
def test_calls_a_factory(app: Any) -> None:
    with serve(app, factory=True) as server:
        exchange(server)


def test_serves_any_awaitable_callable_with_one_argument() -> None:
    async def greet(word: str, connection: ServerConnection) -> None:
        await connection.send(word)

    greeter = Greeter()

    @functools.wraps(greeter.__call__)
    def wrapped(connection: ServerConnection) -> Awaitable[None]:
        return greeter(connection)

    kinds = (functools.partial(greet, "hi"), greeter, greeter.__call__, functools.partial(greeter), wrapped)
    for app in (*kinds, lambda ws: ws.send("hi")):
        with serve(app) as server, connect(server.ws, proxy=None) as websocket:
            assert websocket.recv(DEADLINE) == "hi"


def test_passes_options_on() -> None:
    with serve(hello, server_header=False, lifespan="off", ws="none") as server:
        assert "server" not in requests.get(server.http, timeout=DEADLINE).headers
    with serve(echo, max_size=10) as server, connect(server.ws, proxy=None) as websocket:
        websocket.send("x" * 11)
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(DEADLINE)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1009
        assert server.errors == []


def test_serves_a_bare_asgi_function() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "this application refuses lifespans, as it may"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    with serve(app) as server:
        exchange(server)
    assert server.errors == []


@pytest.mark.parametrize("app", [hello, echo])
def test_listens_on_loopback_only(app: Any) -> None:
    with serve(app) as server:
        listening = [c.laddr for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN]
        assert ("127.0.0.1", server.port) in listening
        assert {address.ip for address in listening if address.port == server.port} == {"127.0.0.1"}


def test_two_servers_take_two_free_ports() -> None:
    with serve(hello) as one, serve(hello) as two:
        assert one.port != two.port
        exchange(one)
        exchange(two)


def test_comes_back_to_a_fixed_port_at_once_after_it_served() -> None:
    with serve(hello) as server:
        port = server.port
        exchange(server)
    for _ in range(5):
        # With a connection that is kept alive, which lingers in TIME_WAIT afterwards.
        with serve(hello, port=port) as server, request_open(port, get("/")) as sock:
            assert server.port == port
            read_until(sock, b"hello")
            server.stop()


def test_knows_its_addresses() -> None:
    with serve(hello) as server:
        assert server.http == f"http://127.0.0.1:{server.port}"
        assert server.ws == f"ws://127.0.0.1:{server.port}"
        assert server.pid == os.getpid()
        assert server.running
        assert repr(server) == f"<Server hello: running at {server.http}>"
    assert not server.running
    assert repr(server) == "<Server hello: stopped>"


def test_goes_by_the_name_that_its_call_spells() -> None:
    def make(number: int) -> Callable[[ServerConnection], Any]:
        return functools.partial(handler(Gate()), number)

    def nested(number: int) -> Callable[[ServerConnection], Any]:
        async def each(connection: ServerConnection) -> None: ...

        return each

    board = rest(Gate())
    with (
        serve(board) as named,
        serve(nested(1)) as one,
        serve(
            nested(
                2,
            )
        ) as two,
        serve("serving_support:hello") as dotted,
        serve(echo) as function,
        serve(FastAPI()) as unnamed,
        serve(board, name="mine") as given,
    ):
        names = [server.name for server in (named, one, two, dotted, function, unnamed, given)]
    assert names == ["board", "nested(1)", "nested( 2, )", "serving_support:hello", "echo", "FastAPI()", "mine"]
    with eval("serve(FastAPI())") as without_source:
        assert without_source.name == "FastAPI"


def test_the_same_name_given_by_hand_replaces_even_on_a_fixed_port() -> None:
    first = serve(hello, name="shop")
    second = serve(echo, name="shop", port=first.port)
    assert not first.running
    assert second.port == first.port
    assert serving._servers == [second]


def test_outside_a_notebook_the_same_application_is_served_twice() -> None:
    with serve(hello) as one, serve(hello) as two:
        assert one.running
        assert two.running


def test_starts_from_any_thread_and_from_many_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        servers = list(pool.map(serve, [hello, echo] * 16))
        list(pool.map(exchange, servers))
        assert len({server.port for server in servers}) == 32
        assert len(serving._servers) == 32
        # Each is stopped twice, and by whoever comes first.
        list(pool.map(Server.stop, servers * 2))
    assert serving._servers == []
    assert not any(server.running for server in servers)


def test_a_handler_may_start_another_server() -> None:
    started: list[Server] = []

    async def spawn(connection: ServerConnection) -> None:
        started.append(serve(hello))
        await connection.send(started[0].http)

    with serve(spawn) as server, connect(server.ws, proxy=None) as websocket:
        assert requests.get(str(websocket.recv(DEADLINE)), timeout=DEADLINE).text == "hello"


def test_runs_the_lifespan() -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        seen.append("up")
        yield {"greeting": "hello"}
        seen.append("down")

    with serve(Starlette(lifespan=lifespan)):
        assert seen == ["up"]
    assert seen == ["up", "down"]


# The connection


def test_answers_carry_the_date() -> None:
    with serve(hello) as server:
        date = parsedate_to_datetime(requests.get(server.http, timeout=DEADLINE).headers["date"])
    assert abs(date.timestamp() - time.time()) < 5


@pytest.mark.parametrize("app", [hello, echo])
def test_switches_nagles_algorithm_off(app: Any) -> None:
    accepted: list[int] = []
    original = socket.socket.accept

    def accept(self: socket.socket) -> tuple[socket.socket, Any]:
        conn, address = original(self)
        # Looked at when asyncio has set its connection up.
        asyncio.get_running_loop().call_later(
            0.01, lambda: accepted.append(conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        )
        return conn, address

    with pytest.MonkeyPatch.context() as patch, serve(app) as server:
        patch.setattr(socket.socket, "accept", accept)
        with socket.create_connection(("127.0.0.1", server.port)):
            wait_until(lambda: bool(accepted), "the connection was accepted")
    assert accepted[0] != 0


def test_kept_alive_answers_do_not_wait_for_acknowledgements() -> None:
    # With Nagle's algorithm each takes some 40 ms; without, less than a millisecond.
    with serve(hello) as server, requests.Session() as session:
        session.trust_env = False

        def round_trip() -> float:
            begin = time.perf_counter()
            session.post(server.http, data=b"x", timeout=DEADLINE)
            return time.perf_counter() - begin

        assert statistics.median(round_trip() for _ in range(15)) < 0.03


def certificate(folder: Path) -> tuple[Any, Path, Path]:
    trustme = pytest.importorskip("trustme", reason="trustme makes the test's certificates")
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    made.private_key_pem.write_to_path(str(folder / "key.pem"))
    made.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    return authority, folder / "cert.pem", folder / "key.pem"


def sends_tickets(port: int, trust: ssl.SSLContext) -> bool:
    """Whether a server's first bytes after the TLS handshake include a session ticket."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as tcp,
        trust.wrap_socket(tcp, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall(b"GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert tls.recv(1)
        return bool(tls.session and tls.session.has_ticket)


def test_serves_https_and_wss_through_uvicorns_options(tmp_path: Path) -> None:
    authority, cert, key = certificate(tmp_path)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    with serve(hello, ssl_certfile=cert, ssl_keyfile=key) as server:
        assert server.http == f"https://127.0.0.1:{server.port}"
        assert server.ws == f"wss://127.0.0.1:{server.port}"
        answer = requests.get(server.http, verify=str(tmp_path / "authority.pem"), timeout=DEADLINE)
        assert answer.text == "hello"
        with connect(f"{server.ws}/echo", ssl=client_side, proxy=None) as websocket:
            websocket.send("hi")
            assert websocket.recv(DEADLINE) == "hi"
        assert not sends_tickets(server.port, client_side)
        # A client that opens TCP and never begins the TLS handshake is not to hold up the stop.
        with socket.create_connection(("127.0.0.1", server.port)) as silent:
            server.stop()
            silent.settimeout(DEADLINE)
            with contextlib.suppress(ConnectionResetError):
                assert silent.recv(1) == b""


def test_serves_wss_through_the_ssl_option_of_websockets(tmp_path: Path) -> None:
    authority, cert, key = certificate(tmp_path)
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(cert, key)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    with serve(echo, ssl=server_side) as server:
        assert server.ws == f"wss://127.0.0.1:{server.port}"
        assert not sends_tickets(server.port, client_side)
        with connect(server.ws, ssl=client_side, proxy=None) as websocket:
            websocket.send("hi")
            assert websocket.recv(DEADLINE) == "hi"
            begin = time.perf_counter()
            server.stop()
            assert time.perf_counter() - begin < 1.0


# Starts that fail


class Refused(Exception):
    pass


@contextlib.asynccontextmanager
async def refusing(app: Starlette) -> AsyncIterator[None]:
    raise Refused("no database")
    yield


async def reports_failure(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


def make_with_options(options: object = None) -> Starlette:
    return hello


def answers_at_once(connection: ServerConnection) -> None:
    pass


class Greeter:
    def __init__(self, word: str = "hi") -> None:
        self.word = word

    async def __call__(self, connection: ServerConnection) -> None:
        await connection.send(self.word)


class Plain:
    def __call__(self, connection: ServerConnection) -> None:
        pass


def make_nothing() -> None:
    raise Refused("no database")


FAILURES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no kind": (42, {}, r"an object of type int is neither .*, so hand over a FastAPI or Starlette object"),
    "a module": (ModuleType("todos"), {}, r"an object of type module is neither"),
    "a class": (FastAPI, {}, r"FastAPI is neither .*, so hand over an instance, serve\(FastAPI\(\)\)\.$"),
    "a factory not called": (
        make_hello,
        {},
        r"make_hello\(\) is neither .*, so if it makes the application, call",
    ),
    "a partial factory": (functools.partial(rest, Gate()), {}, r"if it makes the application, call it first"),
    "a factory with an option": (make_with_options, {}, r"call it first, or add factory=True\.$"),
    "a lambda with an option": (lambda options=None: hello, {}, r"call it first, or add factory=True\.$"),
    "a plain function": (answers_at_once, {}, r"answers_at_once\(\) .*, so if it is a handler, write async def"),
    "a class of handlers": (
        Greeter,
        {},
        r"Greeter is neither .*, so hand over an instance, serve\(Greeter\(\)\)\.$",
    ),
    "an object": (Plain(), {}, r"type Plain is neither .*, so hand over .*, or an async function with one"),
    "WSGI": (wsgi, {}, r"wsgi\(\) is neither an ASGI application nor a WebSocket handler"),
    "no colon": ("todos", {}, r"has a colon before its attribute, as in 'wirelab.apps.todos:app'\.$"),
    "no module": (
        "no_such_module:app",
        {},
        r"import raised ModuleNotFoundError.*, so mend the name or the module\.$",
    ),
    "no attribute": ("serving_support:nothing", {}, r"import raised AttributeError.*'nothing'.*so mend the name"),
    "unknown to uvicorn": (hello, {"prot": 1}, r"uvicorn.Config takes no option prot, so leave that out\.$"),
    "unknown to websockets": (
        echo,
        {"prot": 1},
        r"websockets.asyncio.server.serve takes no option prot, so leave",
    ),
    "uvicorn's option wrong": (hello, {"ssl_certfile": "none"}, r"uvicorn cannot use its options \(FileNotFound"),
    "websockets' option wrong": (echo, {"compression": "zip"}, r"websockets cannot use its options \(ValueError"),
    "host=": (hello, {"host": "0.0.0.0"}, r"^Leave out host=: servers of this kit listen on 127.0.0.1 only\.$"),
    "sock=": (echo, {"sock": None}, r"^Leave out sock="),
    "workers=": (hello, {"workers": 4}, r"^Leave out workers=: start as many servers as you need"),
    "lifespan": (
        Starlette(lifespan=refusing),
        {},
        r"lifespan raised Refused\('no database'\), so mend its start-up",
    ),
    "lifespan reports": (reports_failure, {}, r"its lifespan reported a failure, so mend its start-up code\.$"),
    "factory fails": (make_nothing, {"factory": True}, r"its factory raised Refused\('no database'\), so mend"),
    "port too high": (hello, {"port": 65536}, r"65536 is no port, so take a whole number from 1 to 65535"),
    "port of text": (hello, {"port": "5000"}, r"'5000' is no port, so take a whole number"),
}


@pytest.mark.parametrize(("app", "options", "words"), FAILURES.values(), ids=FAILURES)
def test_says_at_once_in_one_sentence_why_it_does_not_start(app: Any, options: dict[str, Any], words: str) -> None:
    threads = threading.active_count()
    begin = time.perf_counter()
    with pytest.raises(ServeError, match=words) as caught:
        serve(app, **options)
    assert time.perf_counter() - begin < 2.0
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert serving._servers == []
    assert threading.active_count() == threads


def test_says_that_parentheses_are_too_many() -> None:
    running = echo(None)  # type: ignore[arg-type]
    with pytest.raises(ServeError, match=r"echo\(\) is neither .*, so leave out the parentheses\.$"):
        serve(running)
    # Closed: nobody is to be told that it was never awaited.
    assert running.cr_frame is None


def test_names_what_the_lifespan_or_the_module_raised_as_its_cause(tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(ServeError) as caught:
        serve(Starlette(lifespan=refusing))
    assert isinstance(caught.value.__cause__, Refused)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "raises_on_import.py").write_text("1 / 0")
    with pytest.raises(ServeError, match=r"its import raised ZeroDivisionError\('division by zero'\)") as caught:
        serve("raises_on_import:app")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    (tmp_path / "exits_on_import.py").write_text("import sys; sys.exit(3)")
    with pytest.raises(ServeError, match=r"its import raised SystemExit\(3\)"):
        serve("exits_on_import:app")


def test_a_start_that_hangs_is_given_up(monkeypatch: Any) -> None:
    monkeypatch.setattr(_background, "START_DEADLINE", 0.2)
    cancelled = threading.Event()

    @contextlib.asynccontextmanager
    async def waiting(app: Starlette) -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        yield

    threads = threading.active_count()
    with pytest.raises(ServeError, match=r"was not ready after 0\.2 s, so look what its start-up code waits for"):
        serve(Starlette(lifespan=waiting))
    assert cancelled.is_set()
    assert threading.active_count() == threads


def test_an_interrupt_before_the_thread_starts_frees_the_port(monkeypatch: Any) -> None:
    def interrupted(self: threading.Thread) -> None:
        raise KeyboardInterrupt

    with serve(hello) as server:
        port = server.port
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            serve(hello, port=port)
    # Its traceback holds on to everything, as IPython's memory of the last error does.
    with serve(hello, port=port) as server:
        exchange(server)
    assert caught.value.__traceback__


def test_names_the_server_of_ours_that_holds_the_port() -> None:
    with (
        serve(hello) as server,
        pytest.raises(
            ServeError, match=f"port {server.port} is taken by your server 'hello', so stop that, or leave"
        ),
    ):
        serve(echo, port=server.port)


def test_says_that_another_program_holds_the_port() -> None:
    program = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        port = int(other.stdout.readline())
        with pytest.raises(
            ServeError, match=f"port {port} is taken by another program .*, so stop that, or leave"
        ):
            serve(hello, port=port)
        assert other.stdin
        other.stdin.close()


def test_says_that_a_port_is_reserved(monkeypatch: Any) -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(
        ServeError, match="port 80 is reserved by the system, so take one above 1023, or leave out"
    ):
        serve(hello, port=80)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL])
def test_says_what_else_keeps_it_from_a_port(monkeypatch: Any, code: int) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr(_background, "listening_socket", refuse)
    expected = (
        r"not to be had .*take another"
        if code == errno.EADDRNOTAVAIL
        else r"first of all in the shell: ulimit -n 4096\.$"
    )
    with pytest.raises(ServeError, match=expected):
        serve(hello)


def test_says_that_no_handle_is_left_for_its_event_loop(monkeypatch: Any) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    defaults = _background.EngineThread.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "make_loop", refuse)
    with pytest.raises(ServeError, match="first of all in the shell: ulimit -n 4096"):
        serve(hello)


def test_a_start_that_fails_leaves_the_other_servers_alone() -> None:
    with serve(hello, name="shop") as server:
        with pytest.raises(ServeError):
            serve(hello, name="other", prot=1)
        # Nor does one that was to replace it but cannot: it is refused before anything is stopped.
        with pytest.raises(ServeError):
            serve(42, name="shop")
        exchange(server)


# What handlers raise


@pytest.mark.parametrize("app", [hello, handler(Gate())], ids=["rest", "websocket"])
def test_an_exception_in_a_handler_is_kept_before_the_client_knows(app: Any) -> None:
    with serve(app) as server:
        for number in range(1, 31):
            if app is hello:
                assert requests.get(f"{server.http}/boom", timeout=DEADLINE).status_code == 500
            else:
                with (
                    connect(f"{server.ws}/boom", proxy=None) as websocket,
                    pytest.raises(ConnectionClosed) as closed,
                ):
                    websocket.recv(DEADLINE)
                assert closed.value.rcvd
                assert closed.value.rcvd.code == 1011
            assert [repr(error) for error in server.errors] == ["ValueError('boom')"] * number
    assert len(server.errors) == 30


def test_the_line_that_is_named_is_never_one_of_a_library_or_of_the_kit() -> None:
    async def nonsense(request: Any) -> Any:
        return "no response at all"

    def own_mistake(request: Any) -> Any:
        return PlainTextResponse(b"\xff".decode())

    routes = [Route("/nonsense", nonsense), Route("/own", own_mistake)]
    with serve(Starlette(routes=routes)) as server:
        for path in ("nonsense", "own"):
            requests.get(f"{server.http}/{path}", timeout=DEADLINE)
        in_a_library, in_own_code = map(describe_error, server.errors)
    assert in_a_library == "TypeError: 'str' object is not callable"
    assert in_own_code.endswith('(in own_mistake: return PlainTextResponse(b"\\xff".decode()))')


def test_an_exception_of_a_task_that_nobody_awaits_is_kept_and_not_printed(capfd: Any) -> None:
    with serve(hello) as server:
        requests.get(f"{server.http}/lost", timeout=DEADLINE)
        wait_until(lambda: bool(server.errors), "the lost task's exception is on record")
        assert repr(server.errors[0]) == "LookupError('nobody awaited this')"
    assert capfd.readouterr() == ("", "")


def test_an_exception_within_a_stream_is_kept_once() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError("boom")

    async def endpoint(request: Any) -> Any:
        return StreamingResponse(broken())

    with serve(Starlette(routes=[Route("/", endpoint)])) as server:
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.get(server.http, timeout=DEADLINE)
        assert [repr(error) for error in server.errors] == ["ValueError('boom')"]


def test_what_websockets_would_only_log_is_kept() -> None:
    def refuse(connection: ServerConnection, request: Any) -> None:
        raise ValueError("in process_request")

    with serve(echo, process_request=refuse) as server:
        with pytest.raises(InvalidStatus):
            connect(server.ws, proxy=None)
        assert [repr(error) for error in server.errors] == ["ValueError('in process_request')"]


def test_what_uvicorn_would_only_log_is_kept() -> None:
    async def forgets_to_answer(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    with serve(forgets_to_answer) as server:
        assert requests.get(server.http, timeout=DEADLINE).status_code == 500
        assert [str(error) for error in server.errors] == ["ASGI callable returned without starting response."]


def test_sys_exit_in_a_handler_is_an_error_and_ends_nothing() -> None:
    async def leave(connection: ServerConnection) -> None:
        sys.exit("from the handler")

    async def lose_a_task(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["path"] == "/task":
            # Left to itself: asyncio lets SystemExit stop the whole event loop.
            lose_a_task.task = asyncio.get_running_loop().create_task(leave(None))  # type: ignore
        elif scope["path"] == "/handler":
            sys.exit("from the handler")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    with serve(leave) as server:
        for number in (1, 2):
            with connect(server.ws, proxy=None) as websocket, pytest.raises(ConnectionClosed):
                websocket.recv(DEADLINE)
            assert [repr(error) for error in server.errors] == ["SystemExit('from the handler')"] * number
    with serve(lose_a_task) as server:
        assert requests.get(f"{server.http}/handler", timeout=DEADLINE).status_code == 500
        requests.get(f"{server.http}/task", timeout=DEADLINE)
        wait_until(lambda: len(server.errors) == 2, "the task's SystemExit is on record")
        exchange(server)


def test_a_client_that_leaves_is_no_error() -> None:
    gate = Gate()
    for app in (rest(gate), handler(gate)):
        with serve(app) as server:
            for path in ("/echo", "/push"):
                with connect(server.ws + path, proxy=None):
                    pass
                with request_open(server.port, upgrade(path)) as vanished:
                    gate.wait_for_handlers(2)
                    vanished.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if server.name.startswith("rest"):
                with requests.get(f"{server.http}/events", stream=True, timeout=DEADLINE):
                    gate.wait_for_handlers()
            time.sleep(0.05)
            assert server.errors == []
        assert server.errors == []


def test_a_connection_that_a_handler_lost_as_a_client_is_an_error() -> None:
    async def proxy(connection: ServerConnection) -> None:
        async with connect_async(behind.ws, proxy=None) as upstream:
            await connection.send(await upstream.recv())

    async def hang_up(connection: ServerConnection) -> None:
        await connection.close(1008)

    with serve(hang_up) as behind, serve(proxy) as server:
        with connect(server.ws, proxy=None) as websocket, pytest.raises(ConnectionClosed):
            websocket.recv(DEADLINE)
        assert [type(error).__name__ for error in server.errors] == ["ConnectionClosedError"]


def test_keeps_no_more_than_so_many_errors(monkeypatch: Any) -> None:
    monkeypatch.setattr(_background, "ERRORS_KEPT", 3)
    with serve(hello) as server:
        for _ in range(5):
            requests.get(f"{server.http}/boom", timeout=DEADLINE)
        assert len(server.errors) == 3


# Log lines


def test_prints_nothing_unless_asked(capfd: Any) -> None:
    root = logging.getLogger()
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.name)

    handler_of_the_reader = Lines()
    level = root.level
    root.addHandler(handler_of_the_reader)
    # Someone who wants to see everything of their own sees nothing of the servers'.
    root.setLevel(logging.INFO)
    # And plain uvicorn beside them configures its loggers, for the whole process.
    uvicorn.Config(hello)
    try:
        with serve(hello) as server:
            requests.get(server.http, timeout=DEADLINE)
            requests.get(f"{server.http}/boom", timeout=DEADLINE)
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.sendall(b"nonsense\r\n\r\n")
                assert b"400" in sock.recv(1000)
        with serve(handler(Gate())) as server:
            with connect(f"{server.ws}/boom", proxy=None) as websocket, pytest.raises(ConnectionClosed):
                websocket.recv(DEADLINE)
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.sendall(b"nonsense\r\n\r\n")
                sock.recv(1000)
    finally:
        root.removeHandler(handler_of_the_reader)
        root.setLevel(level)
        for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
    assert lines == []
    assert capfd.readouterr() == ("", "")


def test_prints_a_line_for_each_request_when_asked(capsys: Any) -> None:
    with serve(hello, log=True) as server:
        requests.get(server.http, timeout=DEADLINE)
        requests.get(f"{server.http}/boom", timeout=DEADLINE)
        with connect(f"{server.ws}/echo", proxy=None):
            pass
    assert capsys.readouterr().out.splitlines() == ["GET / 200", "GET /boom 500", "websocket accept /echo"]


def test_prints_a_line_for_each_connection_when_asked(capsys: Any) -> None:
    with serve(echo, log=True) as server, connect(server.ws, proxy=None):
        pass
    assert "connection open" in capsys.readouterr().out


def test_leaves_loggers_as_they_are() -> None:
    def state() -> dict[str, Any]:
        names = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "websockets", "asyncio")
        loggers = [logging.getLogger(name) for name in names]
        return {log.name: (log.level, list(log.handlers), log.propagate, log.disabled) for log in loggers}

    before = state()
    with serve(hello), serve(echo, log=True), serve(hello, log=True):
        pass
    assert state() == before


# The end of the process


def test_a_script_ends_with_its_servers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, threading\n"
        "from wirelab import serve\n"
        "from serving_support import hello, echo, rest, Gate\n"
        "servers = [serve(hello), serve(echo), serve('serving_support:hello', process=True)]\n"
        "print(*(server.port for server in servers), servers[2].pid)\n"
    )
    folders = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": folders}
    done = subprocess.run(
        [sys.executable, "-W", "error", script], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.returncode == 0
    *ports, pid = map(int, done.stdout.split())
    assert all(is_free(port) for port in ports)
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_does_not_take_its_parents_servers_for_its_own() -> None:
    with serve(hello) as server:
        child = os.fork()
        if child == 0:
            os._exit(len(serving._servers))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        exchange(server)
