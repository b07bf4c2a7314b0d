"""Servers in a process of their own: the same behaviour, and no process is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from serving_support import (
    DEADLINE,
    Leftovers,
    echo,
    get,
    hello,
    is_free,
    make_hello,
    request_open,
    upgrade,
    wait_until,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from wirelab import ServeError, Server, _subprocess, serve, serving, stop_all

HELLO = "serving_support:hello"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    # Other modules may have left a helper of the standard library's multiprocessing.
    before = psutil.Process().children()
    yield
    stop_all()
    assert psutil.Process().children() == before


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("modules")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def module(folder: Path, name: str, source: str) -> str:
    (folder / f"{name}.py").write_text(source)
    return f"{name}:app"


def test_serves_by_dotted_name_and_importable_function() -> None:
    with serve(HELLO, process=True) as rest, serve(echo, process=True) as websocket:
        assert rest.pid not in (os.getpid(), websocket.pid)
        assert psutil.pid_exists(rest.pid)
        assert requests.get(rest.http, timeout=DEADLINE).text == "hello"
        with connect(websocket.ws, proxy=None) as client:
            client.send("hi")
            assert client.recv(DEADLINE) == "hi"
    assert not rest.running
    assert is_free(rest.port)
    with serve(make_hello, process=True, factory=True, port=rest.port) as again:
        assert again.port == rest.port
        assert requests.get(again.http, timeout=DEADLINE).text == "hello"


def test_children_listen_on_loopback_only() -> None:
    with serve(HELLO, process=True) as server:
        listening = [
            c.laddr for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN
        ]
        assert listening == [("127.0.0.1", server.port)]


def test_passes_options_on() -> None:
    with serve(HELLO, process=True, server_header=False, headers=[["x-lab", "wire"]]) as server:
        headers = requests.get(server.http, timeout=DEADLINE).headers
        assert headers["x-lab"] == "wire"
        assert "server" not in headers


def shadowed() -> None: ...


shadowed_first = shadowed


def shadowed() -> None: ...  # type: ignore[no-redef]


def test_refuses_what_another_process_cannot_import() -> None:
    for app in (hello, shadowed_first, lambda connection: None, echo.__get__(1)):
        with pytest.raises(ServeError, match="exists only in this one, so write it to a file and name that"):
            serve(app, process=True)


def test_refuses_options_that_cannot_be_passed_on() -> None:
    with pytest.raises(ServeError, match="process=True takes options of numbers, text and lists only"):
        serve(HELLO, process=True, headers={1, 2})


def test_says_at_once_why_it_does_not_start(module_folder: Path) -> None:
    failures = {
        module(
            module_folder, "p_raises", "1 / 0"
        ): r"its import raised ZeroDivisionError\('division by zero'\), so mend",
        module(
            module_folder, "p_exits", "raise SystemExit(3)"
        ): r"its import raised SystemExit\(3\), so mend the name",
        module(
            module_folder, "p_dies", "import os; os._exit(7)"
        ): r"its process ended \(exit status 7\) before it was",
        module(module_folder, "p_wrong", "app = 42"): r"an object of type int is neither an ASGI application nor",
        "no_such_module:app": r"its import raised ModuleNotFoundError",
    }
    for app, words in failures.items():
        begin = time.perf_counter()
        with pytest.raises(ServeError, match=words) as caught:
            serve(app, process=True)
        assert time.perf_counter() - begin < 5.0
        assert "\n" not in str(caught.value)
    with serve(hello) as server:
        with pytest.raises(ServeError, match=f"port {server.port} is taken by your server 'hello'"):
            serve(HELLO, process=True, port=server.port)
        with pytest.raises(ServeError, match=r"uvicorn\.Config takes no option prot"):
            serve(HELLO, process=True, prot=1)
    assert serving._servers == []


def test_a_module_that_never_returns_is_given_up(module_folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(_subprocess, "START_DEADLINE", 1.5)
    app = module(module_folder, "p_hangs", "import time; time.sleep(60)")
    begin = time.perf_counter()
    with pytest.raises(
        ServeError, match=r"was not ready after 1\.5 s, so look what its module or start-up code waits"
    ):
        serve(app, process=True)
    assert time.perf_counter() - begin < 3.0


NOISY = """
import asyncio, os, sys
print("imported")
os.write(1, b"raw bytes past Python\\n")
os.system("echo from a program")
try:
    input("a question? ")
except EOFError:
    print("no", "answer", end="!\\n")

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/exit":
        os._exit(9)
    os.write(1, b'{"kind": "failed", "text": "a forged message"}\\n')
    print("handled", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"noisy"})
"""


def test_what_an_application_prints_and_reads_disturbs_nothing(module_folder: Path, capfd: Any) -> None:
    with serve(module(module_folder, "p_noisy", NOISY), process=True) as server:
        assert requests.get(f"{server.http}/one", timeout=DEADLINE).text == "noisy"
        # It has told everything once it has settled.
        assert server.errors == []
        out, err = capfd.readouterr()
        assert out == "imported\na question? no answer!\nhandled /one\n"
        # What bypasses Python's standard output goes where nobody takes it for a message.
        assert "raw bytes past Python" in err
        assert "a forged message" in err


def test_a_process_that_ends_by_itself_is_an_error(module_folder: Path, capfd: Any) -> None:
    with serve(module(module_folder, "p_noisy_too", NOISY), process=True) as server:
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{server.http}/exit", timeout=DEADLINE)
        wait_until(lambda: bool(server.errors), "the end of the process is on record")
        assert str(server.errors[0]) == "the server's process ended by itself (exit status 9)"
        assert not server.running


def test_an_exception_in_a_handler_is_kept_with_its_place() -> None:
    with serve(HELLO, process=True) as server:
        for number in range(1, 31):
            assert requests.get(f"{server.http}/boom", timeout=DEADLINE).status_code == 500
            assert len(server.errors) == number
    assert str(server.errors[0]) == 'ValueError: boom (in boom: raise ValueError("boom"))'
    assert "Traceback (most recent call last)" in server.errors[0].__notes__[0]
    assert 'raise ValueError("boom")' in server.errors[0].__notes__[0]


def test_prints_a_line_for_each_request_when_asked(capsys: Any) -> None:
    with serve(HELLO, process=True, log=True) as server:
        requests.get(server.http, timeout=DEADLINE)
        assert server.errors == []
        assert capsys.readouterr().out == "GET / 200\n"


def test_an_interrupt_of_the_group_leaves_it_alive() -> None:
    with serve(HELLO, process=True) as server:
        for _ in range(5):
            os.kill(server.pid, signal.SIGINT)
        assert requests.get(server.http, timeout=DEADLINE).text == "hello"


STUCK = """
import asyncio, sys, threading, time
from serving_support import Gate, rest

class Print:
    def release(self):
        print("entered", flush=True)

gate = Gate()
gate.entered = Print()
app = rest(gate)
"""


@pytest.mark.parametrize("path", ["/events", "/flood", "/stuck", "/stubborn", "/poll"])
def test_stops_with_open_connections(module_folder: Path, path: str, capsys: Any) -> None:
    server = serve(module(module_folder, "p_stuck", STUCK), process=True)
    with request_open(server.port, get(path)):
        wait_until(lambda: "entered" in capsys.readouterr().out, "the handler runs")
        begin = time.perf_counter()
        server.stop()
        assert time.perf_counter() - begin < 1.5
    assert not psutil.pid_exists(server.pid)


def test_a_handler_that_blocks_the_event_loop_goes_with_its_process(module_folder: Path, capsys: Any) -> None:
    server = serve(module(module_folder, "p_stuck", STUCK), process=True)
    with request_open(server.port, get("/blocking")):
        wait_until(lambda: "entered" in capsys.readouterr().out, "the handler runs")
        server.stop()
    assert not psutil.pid_exists(server.pid)


def test_websocket_clients_see_a_close_code() -> None:
    with contextlib.ExitStack() as stack:
        rest: Server = stack.enter_context(serve(HELLO, process=True))
        websocket: Server = stack.enter_context(serve(echo, process=True))
        clients = [
            stack.enter_context(connect(address, proxy=None)) for address in (f"{rest.ws}/echo", websocket.ws)
        ]
        for client in clients:
            client.send("hi")
            assert client.recv(DEADLINE) == "hi"
        stop_all()
        for client, code in zip(clients, (1012, 1001), strict=True):
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(DEADLINE)
            assert closed.value.rcvd
            assert closed.value.rcvd.code == code


def test_starts_and_stops_leave_nothing() -> None:
    def cycle() -> None:
        with serve(HELLO, process=True) as server, request_open(server.port, upgrade("/echo")):
            pass

    cycle()
    left = Leftovers()
    for _ in range(3):
        cycle()
    left.check()
