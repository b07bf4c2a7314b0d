"""The grown todo service: what its docstring promises, over real sockets, and what its OpenAPI document does."""

from __future__ import annotations

import ast
import concurrent.futures
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import requests

from wirelab import Server, serve
from wirelab.apps import todos_v1
from wirelab.apps.todos_v1 import BURST, MERGE_PATCH, PROBLEM, RATE, Buckets, chosen, create_app, merged

Ask = Callable[..., requests.Response]
# How often the fuzz test calls each operation with what its document allows, and with what it forbids.
EXAMPLES = 40


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(create_app(burst=10_000, rate=10_000)) as running:
        yield running


@pytest.fixture
def ask(server: Server) -> Iterator[Ask]:
    with client(server) as asked:
        yield asked


class client:
    """A session to a server, without proxies, each answer within a deadline."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __enter__(self) -> Ask:
        self.session = requests.Session()
        self.session.trust_env = False
        return self.ask

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def ask(self, method: str, path: str, headers: Any = None, **options: Any) -> requests.Response:
        answer = self.session.request(method, self.server.http + path, headers=headers, timeout=10, **options)
        if answer.status_code >= 400:
            assert_problem(answer)
        return answer


def assert_problem(answer: requests.Response) -> None:
    assert answer.headers["Content-Type"] == PROBLEM
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"]
    assert body["type"]


def create(ask: Ask, **members: Any) -> requests.Response:
    answer = ask("POST", "/v1/todos", json={"task": "Water the plants", **members})
    assert answer.status_code == 201, answer.text
    return answer


def pages(ask: Ask, limit: int, turn: Callable[[list[int]], object] = len) -> list[int]:
    found, path = [], f"/v1/todos?limit={limit}"
    while path:
        answer = ask("GET", path)
        page = [todo["id"] for todo in answer.json()]
        found += page
        turn(page)
        path = answer.links.get("next", {}).get("url", "")
    return found


# Todos


def test_a_todo_is_created_read_replaced_and_deleted(ask: Ask) -> None:
    created = create(ask, place={"room": 4})
    path = created.headers["Location"]
    assert created.json() == {"id": 3, "task": "Water the plants", "status": "Pending", "place": {"room": 4}}
    assert ask("GET", path).json() == created.json()
    replaced = ask("PUT", path, json={"task": "Water the cat", "status": "Done", "id": 99})
    assert (replaced.status_code, replaced.json()) == (200, {"id": 3, "task": "Water the cat", "status": "Done"})
    assert ask("DELETE", path).status_code == 204
    assert ask("GET", path).status_code == 404
    assert create(ask).json()["id"] == 4


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"no json", 400),
        (b'{"task": "cut o', 400),
        (b'{"task": "\xff"}', 400),
        (b'{"task": "x", "n": NaN}', 400),
        (b'{"task": "x", "n": 1e999}', 400),
        (b'{"task": "x", "half": "\\ud800"}', 400),
        (b'{"task": "x", "n": ' + b"1" * 5000 + b"}", 400),
        (b"[" * 50_000, 400),
        (b'{"task": "x", "deep": ' + b"[" * 50 + b"]" * 50 + b"}", 400),
        (b'"' + b"x" * 70_000 + b'"', 413),
        (b"null", 422),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"task": 1}', 422),
        (b'{"task": ""}', 422),
        (b'{"task": "\\u0000"}', 422),
        (b'{"task": "x", "status": null}', 422),
    ],
    ids=lambda value: repr(value[:25]) if isinstance(value, bytes) else str(value),
)
def test_a_bad_body_is_refused_and_changes_nothing(ask: Ask, body: bytes, status: int) -> None:
    before = ask("GET", "/v1/todos").json()
    for method, path in (("POST", "/v1/todos"), ("PUT", "/v1/todos/1")):
        assert ask(method, path, {"Content-Type": "application/json"}, data=body).status_code == status
    assert ask("GET", "/v1/todos").json() == before


def test_an_invalid_request_says_where(ask: Ask) -> None:
    problem = ask("POST", "/v1/todos", json={"task": 17}).json()
    assert [error["pointer"] for error in problem["errors"]] == ["#/task"]


def test_a_wrong_type_names_the_right_ones(ask: Ask) -> None:
    assert ask("POST", "/v1/todos", data="task=x").headers["Accept"] == "application/json"
    refused = ask("PATCH", "/v1/todos/1", {"If-Match": "*"}, data=b"{}")
    assert (refused.status_code, refused.headers["Accept-Patch"]) == (415, f"{MERGE_PATCH}, application/json")


def test_head_is_get_without_the_body(ask: Ask) -> None:
    for path in ("/v1/todos", "/v1/todos/1"):
        head, get = ask("HEAD", path), ask("GET", path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("ETag", "Content-Type", "Content-Length"):
            assert head.headers[name] == get.headers[name]
        assert ask("HEAD", path, headers={"If-None-Match": head.headers["ETag"]}).status_code == 304


def test_a_405_names_every_method(ask: Ask) -> None:
    assert ask("PUT", "/v1/todos").headers["Allow"] == "GET, HEAD, POST"
    assert ask("POST", "/v1/todos/1").headers["Allow"] == "DELETE, GET, HEAD, PATCH, PUT"
    assert ask("GET", "/nowhere").status_code == 404


# Pages


def test_pages_hold_each_todo_once_while_others_come_and_go(ask: Ask) -> None:
    ids = {create(ask).json()["id"] for _ in range(20)} | {1, 2}
    gone = set()

    def others(page: list[int]) -> None:
        for todo_id in {page[0], page[-1]}:
            ask("DELETE", f"/v1/todos/{todo_id}")
            gone.add(todo_id)

    found = pages(ask, 3, others)
    assert len(found) == len(set(found))
    assert set(found) == ids
    assert set(pages(ask, 3)) == ids - gone


def test_a_page_has_a_hundred_todos_at_most(ask: Ask) -> None:
    for _ in range(100):
        create(ask)
    assert len(ask("GET", "/v1/todos?limit=1000").json()) == 100
    assert len(pages(ask, 1000)) == 102
    for limit in ("0", "-1", "banana", "1.5", ""):
        assert ask("GET", f"/v1/todos?limit={limit}").status_code == 422


def test_only_the_service_makes_cursors(ask: Ask) -> None:
    cursor = ask("GET", "/v1/todos?limit=1").links["next"]["url"].rpartition("cursor=")[2]
    for place in range(len(cursor)):
        other = "A" if cursor[place] != "A" else "B"
        forged = cursor[:place] + other + cursor[place + 1 :]
        assert ask("GET", f"/v1/todos?cursor={forged}").status_code == 400
    for forged in ("", "banana", cursor + "=", "é", "1"):
        assert ask("GET", "/v1/todos", params={"cursor": forged}).status_code == 400


def test_cursors_outlive_the_service_with_its_secret() -> None:
    def cursor(secret: bytes | None) -> str:
        with serve(create_app(secret=secret)) as server, client(server) as ask:
            url: str = ask("GET", "/v1/todos?limit=1").links["next"]["url"]
            return url

    assert cursor(b"kept") == cursor(b"kept") != cursor(None)


# Tags


def test_a_tag_says_what_there_is(ask: Ask) -> None:
    path = "/v1/todos/1"
    tag = ask("GET", path).headers["ETag"]
    known = ask("GET", path, {"If-None-Match": f'"other", W/{tag}'})
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", tag)
    same = ask("PATCH", path, {"If-Match": tag}, json={"status": "Pending"})
    assert same.headers["ETag"] == tag
    other = ask("PATCH", path, {"If-Match": tag}, json={"status": "Done"})
    assert other.headers["ETag"] != tag
    assert ask("GET", path, {"If-None-Match": tag}).status_code == 200
    with serve(create_app()) as again, client(again) as ask_again:
        assert ask_again("GET", path).headers["ETag"] == tag


def test_the_collections_tag_changes_with_its_next_page(ask: Ask) -> None:
    tag = ask("GET", "/v1/todos?limit=2").headers["ETag"]
    assert ask("GET", "/v1/todos?limit=2", {"If-None-Match": tag}).status_code == 304
    create(ask)
    assert ask("GET", "/v1/todos?limit=2", {"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_a_stale_tag_is_refused(ask: Ask, method: str) -> None:
    body = {"task": "Too late", "status": "Lost"}
    stale = ask("GET", "/v1/todos/1").headers["ETag"]
    assert ask("PATCH", "/v1/todos/1", {"If-Match": stale}, json={"task": "First"}).ok
    for tag in (stale, f"W/{ask('GET', '/v1/todos/1').headers['ETag']}"):
        assert ask(method, "/v1/todos/1", {"If-Match": tag}, json=body).status_code == 412
    assert ask("GET", "/v1/todos/1").json()["task"] == "First"
    assert ask(method, "/v1/todos/1", {"If-Match": "*"}, json=body).ok


def test_a_patch_needs_a_tag_of_either_format(ask: Ask) -> None:
    assert ask("PATCH", "/v1/todos/1", json={"task": "x"}).status_code == 428
    for accept in ("application/json", "application/xml"):
        tag = ask("GET", "/v1/todos/1", {"Accept": accept}).headers["ETag"]
        assert ask("PATCH", "/v1/todos/1", {"If-Match": tag}, json={"task": accept}).ok


def test_writers_lose_nothing(server: Server) -> None:
    def count_up(_: int) -> None:
        with client(server) as ask:
            while True:
                read = ask("GET", "/v1/todos/1")
                change = {"count": read.json().get("count", 0) + 1}
                if ask("PATCH", "/v1/todos/1", {"If-Match": read.headers["ETag"]}, json=change).ok:
                    return

    with concurrent.futures.ThreadPoolExecutor(8) as writers:
        list(writers.map(count_up, range(16)))
    with client(server) as ask:
        assert ask("GET", "/v1/todos/1").json()["count"] == 16


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patches_merge_as_in_the_appendix_of_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result


def test_null_in_a_patch(ask: Ask) -> None:
    path = create(ask, status="Done", place={"room": 4, "floor": 2}).headers["Location"]
    patch = {"status": None, "place": {"room": None}}
    assert ask("PATCH", path, {"If-Match": "*", "Content-Type": MERGE_PATCH}, json=patch).json() == {
        "id": 3,
        "task": "Water the plants",
        "status": "Pending",
        "place": {"floor": 2},
    }
    for patch in ({"task": None}, [], "x", None):
        assert ask("PATCH", path, {"If-Match": "*"}, data=todos_v1.as_json(patch), json=None).status_code in (
            415,
            422,
        )


# Limits, retries, formats


def test_a_bucket_fills_steadily() -> None:
    now = 0.0
    buckets = Buckets(BURST, RATE, lambda: now)
    assert [buckets.take("a") for _ in range(BURST)] == [0.0] * BURST
    assert buckets.take("a") == pytest.approx(1 / RATE)
    assert buckets.take("b") == 0.0
    now = 10 / RATE
    assert [buckets.take("a") for _ in range(10)] == [0.0] * 10
    assert buckets.take("a") > 0


def test_buckets_that_are_full_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(todos_v1, "CALLERS_KEPT", 100)
    now = 0.0
    buckets = Buckets(BURST, RATE, lambda: now)
    for number in range(1000):
        now += 1 / RATE
        buckets.take(str(number))
    assert len(buckets._full_at) <= 101


def test_each_caller_has_a_limit_of_its_own() -> None:
    with serve(create_app()) as server, client(server) as ask:
        answers = [ask("GET", "/v1/todos", {"X-API-Key": "one"}) for _ in range(3 * BURST)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert [answer.status_code for answer in answers[:BURST]] == [200] * BURST
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        assert ask("GET", "/v1/todos", {"X-API-Key": "another"}).ok
        assert ask("GET", "/v1/todos").ok


def test_a_creation_may_be_sent_again(ask: Ask) -> None:
    def post(body: str, caller: str = "me") -> requests.Response:
        headers = {"Idempotency-Key": '"k"', "X-API-Key": caller, "Content-Type": "application/json"}
        return ask("POST", "/v1/todos", headers, data=body)

    first, again = post('{"task": "x", "status": "Done"}'), post('{ "status": "Done",\n"task": "x"}')
    assert (again.status_code, again.content, again.headers["Location"]) == (
        201,
        first.content,
        first.headers["Location"],
    )
    assert post('{"task": "y"}').status_code == 422
    assert post('{"task": "y"}', "you").json()["id"] != first.json()["id"]
    assert post("{}", "third").status_code == 422
    assert post('{"task": "z"}', "third").ok


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/*;q=0.1", "json"),
        ("application/xml, application/json", "json"),
        ("application/json;q=0.5, application/xml", "xml"),
        ("application/json;q=0, */*;q=0.1", "xml"),
        ("text/html, application/xml;q=0.9, */*;q=0.8", "xml"),
        ("application/json;q=wrong, application/xml;q=0.1", "xml"),
        ("APPLICATION/XML", "xml"),
    ],
)
def test_the_most_welcome_format_is_chosen(accept: str, media_type: str) -> None:
    assert chosen(accept) == f"application/{media_type}"


def test_xml_carries_the_same_todo(ask: Ask) -> None:
    task = '<b>&amp; "R&D" ]]>\r\n\té'
    path = create(ask, task=task, place="<here>").headers["Location"]
    answer = ask("GET", path, {"Accept": "application/xml"})
    assert answer.headers["Content-Type"] == "application/xml"
    root = ElementTree.fromstring(answer.content)
    assert [(element.tag, element.text) for element in root] == [
        ("id", "3"),
        ("task", task),
        ("status", "Pending"),
        ("more", '{"place": "<here>"}'),
    ]
    assert len(ElementTree.fromstring(ask("GET", "/v1/todos", {"Accept": "application/xml"}).content)) == 3


def test_an_impossible_format_is_refused_before_anything_happens(ask: Ask) -> None:
    assert ask("POST", "/v1/todos", {"Accept": "image/png"}, json={"task": "x"}).status_code == 406
    assert len(ask("GET", "/v1/todos").json()) == 2


# The program, and its document


def test_it_imports_nothing_of_the_kit() -> None:
    tree = ast.parse(Path(todos_v1.__file__).read_text("utf-8"))
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in imported if name.startswith("wirelab")]


def test_it_is_a_program() -> None:
    command = [sys.executable, "-m", "wirelab.apps.todos_v1", "--help"]
    assert "--port" in subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_it_keeps_its_own_openapi_document() -> None:
    """Fuzzed in both directions: nothing but documented answers, and never a 5xx."""
    schemathesis = pytest.importorskip(
        "schemathesis", reason="schemathesis is for developers: pip install -e .[dev]"
    )
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(burst=10**9, rate=1e9))
    promises = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=EXAMPLES,
                derandomize=True,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(
                case=operation.as_strategy(generation_mode=mode),
                known=st.sampled_from([None, 1, 2, 3, 4]),
                fields=st.sampled_from([{}, {"If-Match": "*"}, {"If-None-Match": "*"}, {"Accept": "text/plain"}]),
            )
            def fuzz(case: Any, known: int | None, fields: dict[str, str]) -> None:
                # By itself it hardly ever meets a todo, or a tag that fits.
                if known and case.path_parameters:
                    case.path_parameters["todo_id"] = known
                answer = case.call(headers=fields)
                seen.add((case.method, answer.status_code))
                case.validate_response(answer, checks=promises)

            fuzz()
    expected = {("GET", 200), ("GET", 304), ("GET", 404), ("GET", 406), ("POST", 201), ("POST", 422)}
    assert seen >= expected | {("PUT", 200), ("PATCH", 200), ("PATCH", 412), ("DELETE", 204)}
