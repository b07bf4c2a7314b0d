"""The feed offers the same updates in every way, keeps its schedule, and outlives clients that vanish."""

from __future__ import annotations

import ast
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.sync.client import ClientConnection, connect

from wirelab import Server, serve
from wirelab.apps import feed

DEADLINE = 10.0

Ask = Callable[..., requests.Response]


@pytest.fixture
def server() -> Iterator[Server]:
    """A feed that has one update and makes no more until it is told to."""
    with serve(feed.create_app(every=3600)) as running:
        yield running
        assert running.errors == []


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def http(server: Server, session: requests.Session) -> Ask:
    def ask(path: str, method: str = "GET", **options: object) -> requests.Response:
        return session.request(method, server.http + path, timeout=DEADLINE, **options)

    return ask


def listen(server: Server, path: str = "/stream") -> ClientConnection:
    return connect(server.ws + path, proxy=None, compression=None)


def emit(http: Ask, *offsets: float, start: float | None = None) -> dict[str, int]:
    answer = http("/schedule", "PUT", json={"start": start, "offsets": offsets})
    answer.raise_for_status()
    return answer.json()


def seqs(updates: list[dict[str, float]]) -> list[float]:
    return [update["seq"] for update in updates]


def test_an_update_has_a_number_a_value_and_a_time(http: Ask) -> None:
    update = http("/latest").json()
    assert list(update) == ["seq", "value", "emitted_at"]
    assert update["seq"] == 1
    assert 0 <= time.perf_counter() - update["emitted_at"] < DEADLINE


def test_updates_come_when_they_are_planned(http: Ask) -> None:
    start = time.perf_counter() + 0.1
    assert emit(http, 0.0, 0.05, 0.15, start=start) == {"first": 2, "last": 4}
    updates = http("/updates?after=1&wait=5").json()
    while len(updates) < 3:
        updates += http(f"/updates?after={updates[-1]['seq']}&wait=5").json()
    assert seqs(updates) == [2, 3, 4]
    assert [update["emitted_at"] - start for update in updates] == pytest.approx([0.0, 0.05, 0.15])


def test_a_new_plan_replaces_the_old_one(http: Ask) -> None:
    emit(http, *[60.0] * 5)
    assert emit(http, 0.0, 0.0) == {"first": 2, "last": 3}
    assert seqs(http("/updates?after=1&wait=5").json()) == [2, 3]
    assert http("/status").json()["seq"] == 3


@pytest.mark.parametrize("plan", [{}, {"offsets": "soon"}, {"offsets": [1], "start": "now"}, [1, 2]])
def test_a_plan_that_is_none_is_refused_and_changes_nothing(http: Ask, plan: object) -> None:
    assert http("/schedule", "PUT", json=plan).status_code == 422
    assert http("/status").json()["seq"] == 1


@pytest.mark.parametrize("body", [b'{"offsets": NaN}', rb'{"offsets": ["\ud800"]}', b"{"])
def test_what_cannot_be_repeated_is_refused_all_the_same(http: Ask, body: bytes) -> None:
    answer = http("/schedule", "PUT", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


def test_what_the_old_plan_emits_last_is_not_counted_as_the_new_one_s(
    http: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = feed.Feed.stop

    def stop_late(self: feed.Feed) -> None:
        if self._source and self._source.is_alive():
            self._emit(0.0)
        stop(self)

    monkeypatch.setattr(feed.Feed, "stop", stop_late)
    assert emit(http, 0.0) == {"first": 3, "last": 3}
    assert http("/status").json()["seq"] == 3


def test_the_latest_update_is_not_sent_again_to_who_has_it(http: Ask) -> None:
    first = http("/latest")
    unchanged = http("/latest", headers={"If-None-Match": first.headers["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["ETag"] == first.headers["ETag"]
    assert http("/latest", headers={"If-None-Match": f'"x", W/{first.headers["ETag"]}'}).status_code == 304
    emit(http, 0.0)
    changed = http("/latest", headers={"If-None-Match": first.headers["ETag"]})
    assert (changed.status_code, changed.json()["seq"]) == (200, 2)


def test_a_cursor_misses_nothing_where_the_latest_does(http: Ask) -> None:
    emit(http, *[0.0] * 5)
    assert http("/latest").json()["seq"] == 6
    assert seqs(http("/updates?after=1").json()) == [2, 3, 4, 5, 6]
    assert seqs(http("/updates?after=4").json()) == [5, 6]
    assert http("/updates?after=6").json() == http("/updates?after=600").json() == []
    assert seqs(http("/updates?after=-1").json()) == [1, 2, 3, 4, 5, 6]


def test_a_long_poll_is_answered_by_the_next_update(http: Ask) -> None:
    emit(http, 0.0, start=time.perf_counter() + 0.2)
    [update] = http("/updates?after=1&wait=30").json()
    assert 0 <= time.perf_counter() - update["emitted_at"] < 5


def test_a_long_poll_without_news_is_answered_empty_when_its_time_is_over(http: Ask) -> None:
    start = time.perf_counter()
    assert http("/updates?after=1&wait=0.2").json() == []
    assert 0.2 <= time.perf_counter() - start < 5


@pytest.mark.parametrize("wait", ["-1", "31", "long", "nan"])
def test_a_wait_out_of_bounds_is_refused(http: Ask, wait: str) -> None:
    assert http(f"/updates?after=1&wait={wait}").status_code == 422


def test_a_stream_of_events_starts_where_it_is_told_and_resumes(http: Ask) -> None:
    emit(http, *[0.0] * 4)
    assert read_events(http("/events?after=3", stream=True), 2) == [4, 5]
    assert read_events(http("/events?after=1", stream=True, headers={"Last-Event-ID": "2"}), 3) == [3, 4, 5]


def read_events(answer: requests.Response, count: int) -> list[int]:
    """Read server-sent events: the number in each one's id, which has to be the number in its data too."""
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    seen: list[int] = []
    with answer:
        for line in answer.iter_lines(chunk_size=1):
            if line.startswith(b"data: "):
                seen.append(json.loads(line[6:])["seq"])
            if line.startswith(b"id: "):
                assert int(line[4:]) == seen[-1]
                if len(seen) == count:
                    return seen
    raise AssertionError(f"the stream ended after {seen}")


def test_a_websocket_gets_each_update_as_a_message(server: Server, http: Ask) -> None:
    with listen(server) as late, listen(server, "/stream?after=0") as early:
        emit(http, 0.0, 0.0)
        assert [json.loads(late.recv(DEADLINE))["seq"] for _ in range(2)] == [2, 3]
        assert [json.loads(early.recv(DEADLINE))["seq"] for _ in range(3)] == [1, 2, 3]


def test_what_a_listener_says_is_dropped(server: Server, http: Ask) -> None:
    with listen(server) as websocket:
        for message in ("hello", b"\xff", "{}"):
            websocket.send(message)
        emit(http, 0.0)
        assert json.loads(websocket.recv(DEADLINE))["seq"] == 2


WEBSOCKET_REQUEST = (
    "GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
EVENTS_REQUEST = "GET /events HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_text",
    [
        WEBSOCKET_REQUEST,
        EVENTS_REQUEST,
        "GET /updates?after=1&wait=30 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /latest HT",
    ],
    ids=["WebSocket", "events", "long poll", "half a request"],
)
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
def test_a_client_that_vanishes_leaves_nothing_behind(
    request_text: str, reset: bool, session: requests.Session
) -> None:
    app = InFlight(feed.create_app(every=3600))
    with serve(app) as server:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(request_text.encode())
                if request_text.endswith("\r\n\r\n"):
                    assert becomes(lambda: app.handlers == 1)
                if reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert becomes(lambda: app.handlers == 0)
        with listen(server) as websocket:
            session.put(f"{server.http}/schedule", json={"offsets": [0.0] * 3}, timeout=DEADLINE)
            assert [json.loads(websocket.recv(DEADLINE))["seq"] for _ in range(3)] == [2, 3, 4]
        assert app.raised == []


@pytest.mark.parametrize("request_text", [WEBSOCKET_REQUEST, EVENTS_REQUEST], ids=["WebSocket", "events"])
def test_a_client_that_vanishes_while_it_is_sent_to_is_no_error(request_text: str) -> None:
    app = InFlight(feed.create_app(every=0.001))
    with serve(app) as server:
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(request_text.encode())
                assert client.recv(1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert becomes(lambda: app.handlers == 0)
        # Under plain uvicorn each of these would be a traceback on the screen.
        assert app.raised == []


class InFlight:
    """An application that counts the handlers which have begun and not ended, and keeps what they raise."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.handlers = 0
        self.raised: list[Exception] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        self.handlers += 1
        try:
            await self.app(scope, receive, send)
        except Exception as exc:
            self.raised.append(exc)
        finally:
            self.handlers -= 1


def becomes(condition: Callable[[], bool]) -> bool:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_it_stops_at_once_with_streams_open(session: requests.Session) -> None:
    before = threading.active_count()
    with ExitStack() as clients, serve(feed.create_app(every=0.01)) as server:
        for _ in range(3):
            clients.enter_context(listen(server)).recv(DEADLINE)
            clients.enter_context(session.get(f"{server.http}/events", stream=True, timeout=DEADLINE))
        start = time.perf_counter()
        server.stop()
        assert time.perf_counter() - start < 2
        assert server.errors == []
    assert becomes(lambda: threading.active_count() <= before)


def test_it_can_be_served_again_after_a_stop() -> None:
    app = feed.create_app(every=3600)
    for _ in range(2):
        with serve(app) as server, listen(server, "/stream?after=0") as websocket:
            assert json.loads(websocket.recv(DEADLINE))["seq"] == 1


def test_old_updates_are_forgotten_in_the_end(http: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "HISTORY", 10)
    emit(http, *[0.0] * 50)
    updates = http("/updates?after=0").json()
    assert 10 <= len(updates) <= 20
    assert seqs(updates) == list(range(52 - len(updates), 52))


def test_it_runs_from_a_shell_and_emits_on_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    program = subprocess.Popen(
        [sys.executable, "-m", "wirelab.apps.feed", "--every", "0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stderr is not None
        assert any("running on" in line for line in program.stderr)
        with connect(f"ws://127.0.0.1:{port}/stream", proxy=None) as websocket:
            first, second = (json.loads(websocket.recv(DEADLINE)) for _ in range(2))
        assert second["emitted_at"] - first["emitted_at"] == pytest.approx(0.1)
    finally:
        program.terminate()
        program.communicate(timeout=DEADLINE)


def test_it_imports_nothing_of_the_kit() -> None:
    tree = ast.parse(Path(feed.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not [module for module in modules if not module or module.startswith("wirelab")]
