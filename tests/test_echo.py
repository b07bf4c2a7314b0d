"""The echo server answers, tells how long it took, waits and freezes as it is told."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from test_apps_shell import by_name
from test_apps_shell import running as from_shell
from websockets.sync.client import connect

from wirelab import Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve("wirelab.apps.echo:app") as running:
        yield running
        assert running.errors == []


def get(server: Server, path: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(server.http + path, timeout=10)


def milliseconds(answer: requests.Response) -> float:
    match = re.fullmatch(r"app;dur=(\d+\.\d+)", answer.headers["Server-Timing"])
    assert match
    return float(match[1])


def test_it_sends_back_what_it_gets(server: Server) -> None:
    assert get(server, "/echo?message=hello").text == "hello"
    with connect(server.ws + "/echo", proxy=None) as websocket:
        for message in ("hello", "", "ü"):
            websocket.send(message)
            assert websocket.recv(timeout=10) == message


def test_it_tells_how_long_it_took(server: Server) -> None:
    assert milliseconds(get(server, "/echo?message=hello")) < milliseconds(get(server, "/report?work=0.2"))
    answer = get(server, "/report?work=0.2&size=5000")
    assert milliseconds(answer) >= 200
    assert len(answer.content) == 5000


def test_others_are_answered_while_it_works_but_not_while_it_is_frozen(server: Server) -> None:
    assert longest_echo_during(server, "/report?work=0.8") < 0.6
    assert longest_echo_during(server, "/freeze?seconds=0.8") > 0.6


def longest_echo_during(server: Server, path: str) -> float:
    """Echo without a pause while a path is asked for; return the seconds that the slowest echo took."""
    longest = 0.0
    with ThreadPoolExecutor(1) as pool, connect(server.ws + "/echo", proxy=None) as websocket:
        slow = pool.submit(get, server, path)
        while not slow.done():
            started = time.perf_counter()
            websocket.send("hello")
            websocket.recv(timeout=10)
            longest = max(longest, time.perf_counter() - started)
        assert milliseconds(slow.result()) >= 800
    return longest


def test_it_runs_from_a_shell() -> None:
    with from_shell(by_name("echo")) as (_, port):
        assert requests.get(f"http://127.0.0.1:{port}/echo?message=hello", timeout=10).text == "hello"
