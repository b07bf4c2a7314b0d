"""The article's programs from a shell, by name and by path, and with clients that are not part of the kit."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

APPS = Path(__file__).parent.parent / "wirelab" / "apps"
SUBSCRIPTION = '{"token": "workshop", "symbol": "ACME"}'
# Programs speak to this machine's own servers; unbuffered, so that a server's first line can be waited for.
ENVIRONMENT = {**os.environ, "NO_PROXY": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1"}

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def by_name(program: str) -> list[str]:
    return [sys.executable, "-m", f"wirelab.apps.{program}"]


def by_path(program: str) -> list[str]:
    return [sys.executable, str(APPS / f"{program}.py")]


@contextlib.contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program whose output is read as it comes; end it by force after a while."""
    process = subprocess.Popen(
        command,
        text=True,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = threading.Timer(60, process.kill)
    deadline.start()
    try:
        yield process
    finally:
        deadline.cancel()
        process.kill()
        process.communicate()


def output_until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Read a program's output until a pattern is in it; fail with that output when it ends before."""
    assert process.stdout
    said = ""
    while not (match := re.search(pattern, said)):
        line = process.stdout.readline()
        assert line, said
        said += line
    return match


@contextlib.contextmanager
def running(command: list[str], *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a server on a free port; yield its process and the port that its output names."""
    with started(*command, "--port", "0", *options) as process:
        yield process, int(output_until(process, r"127\.0\.0\.1:(\d+)")[1])


@pytest.fixture(scope="module")
def todos_port() -> Iterator[int]:
    with running(by_name("todos_mended")) as (_, port):
        yield port


@pytest.fixture(scope="module")
def prices_port() -> Iterator[int]:
    with running(by_name("prices_mended"), "--interval", "0.05") as (_, port):
        yield port


def run(*command: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=said, capture_output=True, text=True, env=ENVIRONMENT, timeout=30)


def test_each_program_imports_nothing_of_the_kit() -> None:
    allowed = {*sys.stdlib_module_names, "fastapi", "starlette", "pydantic", "uvicorn", "websockets", "requests"}
    for program in [*APPS.glob("todo*.py"), *APPS.glob("price*.py")]:
        nodes = list(ast.walk(ast.parse(program.read_text("utf-8"))))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in names} <= allowed, program


def test_the_todo_service_runs_until_interrupted() -> None:
    with running(by_name("todos")) as (process, port):
        client = run(*by_path("todo_client"), f"http://127.0.0.1:{port}")
        assert (client.returncode, client.stderr) == (0, "")
        assert client.stdout.startswith("Created: {'id': 3")
        assert_interrupted_quietly(process)


def test_the_mended_todo_service_says_nothing_of_a_client_that_vanished_amid_its_body() -> None:
    with running(by_name("todos_mended")) as (process, port):
        with socket.create_connection(("127.0.0.1", port)) as vanishing:
            head = b"Host: x\r\nContent-Type: application/json\r\nContent-Length: 100"
            vanishing.sendall(b"POST /todos HTTP/1.1\r\n" + head + b"\r\n\r\n{")
        assert run(*by_name("todo_client_mended"), f"http://127.0.0.1:{port}").returncode == 0
        assert_interrupted_quietly(process)


def test_the_price_stream_runs_until_interrupted() -> None:
    with running(by_name("prices"), "--interval", "0.05") as (process, port):
        uri = f"ws://127.0.0.1:{port}"
        client = run(*by_path("price_client"), "--uri", uri, "--limit", "3", said="ACME\n")
        assert (client.returncode, client.stderr) == (0, "")
        assert re.fullmatch(r"Symbol: (ACME: \d+\.\d\d\n){3}", client.stdout)
        assert_interrupted_quietly(process)


@pytest.mark.parametrize("program", ["todos", "prices"])
def test_a_server_runs_by_the_path_of_its_file(program: str) -> None:
    with running(by_path(program)) as (_, port):
        socket.create_connection(("127.0.0.1", port)).close()


def assert_interrupted_quietly(process: subprocess.Popen[str]) -> None:
    if os.name != "posix":
        return
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert "Traceback" not in output
    assert process.returncode in (0, -signal.SIGINT)


def test_a_taken_port_is_named_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run(*by_name("prices"), "--port", port)
    assert ended.returncode == 1
    assert port in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_price_client_without_a_symbol_shows_its_usage() -> None:
    client = run(*by_name("price_client"))
    assert client.returncode == 2
    assert client.stderr.endswith("error: name a symbol\n")


def curl(port: int, *arguments: str) -> tuple[int, str]:
    """Return the status and the body of an answer."""
    *head, path = arguments
    answer = run("curl", "-sS", *head, "-w", r"\n%{http_code}", f"http://127.0.0.1:{port}{path}")
    assert answer.returncode == 0, answer.stderr
    body, _, status = answer.stdout.rpartition("\n")
    return int(status), body


@needs_curl
def test_curl_walks_through_the_todos(todos_port: int) -> None:
    json_body = ["-H", "Content-Type: application/json", "-d"]
    status, body = curl(todos_port, *json_body, '{"task": "from curl"}', "/todos")
    todo = json.loads(body)
    assert (status, todo["task"], todo["status"]) == (201, "from curl", "Pending")
    path = f"/todos/{todo['id']}"
    assert curl(todos_port, path) == (200, body)
    assert curl(todos_port, "-X", "PATCH", *json_body, '{"status": "Done"}', path)[0] == 200
    assert json.loads(curl(todos_port, path)[1]) == todo | {"status": "Done"}
    assert curl(todos_port, "-X", "DELETE", path) == (204, "")
    assert curl(todos_port, path) == (404, f'{{"detail":"There is no todo {todo["id"]}"}}')


@needs_curl
def test_curl_learns_which_content_type_to_send(todos_port: int) -> None:
    status, body = curl(todos_port, "-d", '{"task": "x"}', "/todos")
    assert (status, "Content-Type: application/json" in body) == (415, True)


def test_the_websockets_shell_gets_prices(prices_port: int) -> None:
    with websockets_shell(prices_port, SUBSCRIPTION) as shell:
        output_until(shell, r'(?s)(< {"symbol": "ACME", "price": \d+\.\d+}.*){3}')


def test_the_websockets_shell_sees_why_it_is_refused(prices_port: int) -> None:
    with websockets_shell(prices_port, "hello") as shell:
        output_until(shell, r'(?s)< {"error": "The first message has to be .*1008')


@contextlib.contextmanager
def websockets_shell(port: int, line: str) -> Iterator[subprocess.Popen[str]]:
    with started(sys.executable, "-m", "websockets", f"ws://127.0.0.1:{port}") as shell:
        assert shell.stdin
        shell.stdin.write(line + "\n")
        shell.stdin.flush()
        yield shell
