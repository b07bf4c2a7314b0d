"""The todo service over real sockets: what both versions do, the article's faults, and their repair."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
import requests

from wirelab import Server, serve
from wirelab.apps import todos, todos_mended

JSON = {"Content-Type": "application/json"}
HALF_BODY = b'POST /todos HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"ta'
VERSIONS = [pytest.param(todos, id="article"), pytest.param(todos_mended, id="mended")]

Ask = Callable[..., requests.Response]


@pytest.fixture(params=VERSIONS, scope="module")
def either(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Either version, shared by tests that leave the two samples as they found them."""
    version: ModuleType = request.param
    with serve(version.create_app()) as server:
        yield server


@pytest.fixture
def article() -> Iterator[Server]:
    with serve(todos.create_app()) as server:
        yield server


@pytest.fixture
def mended() -> Iterator[Server]:
    with serve(todos_mended.create_app()) as server:
        yield server


def ask(server: Server, method: str, path: str, **options: object) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, server.http + path, timeout=10, **options)  # type: ignore[arg-type]


def listed(server: Server) -> list[dict[str, object]]:
    answer = ask(server, "GET", "/todos")
    assert answer.status_code == 200, answer.text
    todos_there: list[dict[str, object]] = answer.json()
    return todos_there


def create(server: Server, **fields: object) -> dict[str, object]:
    answer = ask(server, "POST", "/todos", json=fields)
    assert answer.status_code == 201, answer.text
    created: dict[str, object] = answer.json()
    return created


@contextlib.contextmanager
def raw(server: Server, sent: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(sent)
        yield sock


def reset(sock: socket.socket) -> None:
    """Close without a farewell: what is left of a client whose process was killed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# Both versions


def test_two_samples_are_there_at_the_start(either: Server) -> None:
    samples = listed(either)
    assert [list(sample) for sample in samples] == [["id", "task", "status"]] * 2
    assert ask(either, "GET", f"/todos/{samples[0]['id']}").json() == samples[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_todo_is_created_replaced_and_deleted(version: ModuleType) -> None:
    with serve(version.create_app()) as server:
        before = listed(server)
        created = create(server, task="Water the plants")
        assert created == {"id": 3, "task": "Water the plants", "status": "Pending"}
        replaced = ask(server, "PUT", "/todos/3", json={"task": "Water the cat", "status": "Done"})
        assert (replaced.status_code, replaced.json()) == (
            200,
            created | {"task": "Water the cat", "status": "Done"},
        )
        assert listed(server) == [*before, replaced.json()]
        assert ask(server, "DELETE", "/todos/3").ok
        assert listed(server) == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_id_is_a_404_with_a_message(either: Server, method: str) -> None:
    answer = ask(either, method, "/todos/99", json={"task": "x"} if method == "PUT" else None)
    assert answer.status_code == 404
    assert "todo" in answer.json()["detail"].lower()
    assert len(listed(either)) == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_each_app_starts_fresh(version: ModuleType) -> None:
    with serve(version.create_app()) as first:
        create(first, task="only here")
        with serve(version.create_app()) as second:
            assert len(listed(first)) == 3
            assert len(listed(second)) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b'{"task": "cut o',
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"task": 1}',
        b'{"task": null}',
        b'{"task": "\xff"}',
        b'{"task": "x", "status": 1}',
        b"[" * 50_000,
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/todos"), ("PUT", "/todos/1")])
def test_a_bad_body_is_refused_and_changes_nothing(either: Server, method: str, path: str, body: bytes) -> None:
    before = listed(either)
    answer = ask(either, method, path, data=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["detail"]
    assert listed(either) == before
    assert either.errors == []


def test_a_word_for_an_id_is_refused(either: Server) -> None:
    assert ask(either, "GET", "/todos/first").status_code == 422


def test_garbage_is_a_400(either: Server) -> None:
    with raw(either, b"garbage\r\n\r\n") as sock:
        assert sock.recv(1000).startswith(b"HTTP/1.1 400")
    assert len(listed(either)) == 2


@pytest.mark.parametrize("half", [b"GET /todos HT", b"GET /todos HTTP/1.1\r\nHost: x\r\n", HALF_BODY])
def test_half_a_request_holds_up_nobody(either: Server, half: bytes) -> None:
    with raw(either, half) as sock:
        assert len(listed(either)) == 2
        reset(sock)
    assert len(listed(either)) == 2
    assert either.errors == []


def test_clients_that_vanish_before_their_answer_leave_no_error(either: Server) -> None:
    for _ in range(10):
        with raw(either, b"GET /todos HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
            reset(sock)
    assert len(listed(either)) == 2
    assert either.errors == []


# The article's faults


def test_article_cannot_create_when_all_todos_are_deleted(article: Server) -> None:
    for todo in listed(article):
        ask(article, "DELETE", f"/todos/{todo['id']}")
    assert ask(article, "POST", "/todos", json={"task": "x"}).status_code == 500
    assert [type(error) for error in article.errors] == [ValueError]


def test_article_gives_an_id_again(article: Server) -> None:
    first = create(article, task="first")
    ask(article, "DELETE", f"/todos/{first['id']}")
    assert create(article, task="second")["id"] == first["id"]


def test_article_resets_the_status_that_a_put_leaves_out(article: Server) -> None:
    assert ask(article, "PUT", "/todos/2", json={"task": "Build two APIs"}).json()["status"] == "Pending"


def test_article_loses_todos_created_at_once() -> None:
    with serve(todos.create_app(write_time=0.05)) as server:
        assert len({todo["id"] for todo in create_at_once(server, 16)}) < 16
        assert len(listed(server)) < 2 + 16


def test_article_is_broken_for_all_by_one_text_that_it_cannot_write(article: Server) -> None:
    ask(article, "POST", "/todos", data=rb'{"task": "\ud800"}', headers=JSON)
    assert ask(article, "GET", "/todos").status_code == 500


def test_article_stores_whatever_size(article: Server) -> None:
    assert len(str(create(article, task="x" * 1_000_000)["task"])) == 1_000_000


def create_at_once(server: Server, count: int) -> list[dict[str, object]]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda number: create(server, task=str(number)), range(count)))


# Their repair


def test_mended_never_gives_an_id_twice(mended: Server) -> None:
    given = [create(mended, task="first")["id"]]
    ask(mended, "DELETE", f"/todos/{given[-1]}")
    given.append(create(mended, task="second")["id"])
    for todo in listed(mended):
        ask(mended, "DELETE", f"/todos/{todo['id']}")
    assert listed(mended) == []
    given.append(create(mended, task="third")["id"])
    assert given == [3, 4, 5]


def test_mended_keeps_all_todos_created_at_once() -> None:
    with serve(todos_mended.create_app(write_time=0.05)) as server:
        created = create_at_once(server, 64)
        assert {todo["id"] for todo in created} == set(range(3, 67))
        assert {todo["task"] for todo in listed(server)[2:]} == {str(number) for number in range(64)}


def test_mended_says_where_a_new_todo_is(mended: Server) -> None:
    answer = ask(mended, "POST", "/todos", json={"task": "x"})
    assert ask(mended, "GET", answer.headers["Location"]).json() == answer.json()


@pytest.mark.parametrize("change", [{"task": "New"}, {"status": "New"}, {"task": "New", "status": "Newer"}, {}])
def test_mended_changes_with_patch_only_what_it_is_sent(mended: Server, change: dict[str, str]) -> None:
    before = listed(mended)[1]
    answer = ask(mended, "PATCH", "/todos/2", json=change)
    assert (answer.status_code, answer.json()) == (200, before | change)
    assert listed(mended)[1] == before | change


def test_mended_refuses_null_in_a_patch(mended: Server) -> None:
    before = listed(mended)
    assert ask(mended, "PATCH", "/todos/2", json={"status": None}).status_code == 422
    assert ask(mended, "PATCH", "/todos/99", json={"status": "Done"}).status_code == 404
    assert listed(mended) == before


def test_mended_deletes_with_204_and_not_one_byte_of_body(mended: Server) -> None:
    with raw(mended, b"DELETE /todos/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as sock:
        head, _, body = b"".join(iter(lambda: sock.recv(1000), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204")
    assert body == b""


@pytest.mark.parametrize(
    ("body", "content_type", "status", "words"),
    [
        (b"nope", "application/json", 400, "no JSON: Expecting value at character 0"),
        (b"{}", "application/json", 422, "body.task: Field required"),
        (b'{"status": 7}', "application/json", 422, "body.status: Input should be a valid string"),
        (b'{"task": ""}', "application/json", 422, "at least 1 character"),
        (b'{"task": "%s"}' % (b"x" * 1001), "application/json", 422, "at most 1000 characters"),
        (b'{"task": NaN}', "application/json", 422, "valid string"),
        (rb'{"task": "\ud800"}', "application/json", 422, "valid string"),
        (b'{"task": "x"}', "application/x-www-form-urlencoded", 415, "Content-Type: application/json"),
        (b"\xff\xfe\x00", "application/octet-stream", 415, "Content-Type: application/json"),
    ],
)
def test_mended_says_in_a_sentence_what_is_wrong(
    mended: Server, body: bytes, content_type: str, status: int, words: str
) -> None:
    answer = ask(mended, "POST", "/todos", data=body, headers={"Content-Type": content_type})
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert len(listed(mended)) == 2
    assert mended.errors == []


@pytest.mark.parametrize("chunked", [False, True])
def test_mended_refuses_an_oversized_body(mended: Server, chunked: bool) -> None:
    body = json.dumps({"task": "x" * todos_mended.MAX_BODY}).encode()
    answer = ask(mended, "POST", "/todos", data=iter([body]) if chunked else body, headers=JSON)
    assert (answer.status_code, answer.text) == (413, "Content Too Large")
    assert len(listed(mended)) == 2
    assert mended.errors == []


def test_mended_answers_half_a_body_at_its_deadline() -> None:
    with serve(todos_mended.create_app(body_deadline=0.2)) as server:
        with raw(server, HALF_BODY) as sock:
            assert sock.recv(1000).startswith(b"HTTP/1.1 408")
        assert len(listed(server)) == 2
        assert server.errors == []
