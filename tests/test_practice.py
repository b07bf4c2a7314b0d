"""Strangers' programs: what they make of services, and what they say of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wirelab import Server, serve
from wirelab.apps import todos, todos_v1
from wirelab.practice import (
    Caller,
    Errors,
    Reply,
    all_at_once,
    crawl,
    create_read_update_delete,
    errors_of,
    fill,
    flood,
    old_clients_on,
    status_matrix,
    walk,
)
from wirelab.protobuf import message_class


@pytest.fixture
def grown() -> Iterator[Server]:
    with serve(todos_v1.create_app(burst=10_000)) as server:
        yield server


def judged(replies: list[Reply], judgement: str) -> set[tuple[str, str]]:
    return {(reply.situation, reply.method) for reply in replies if reply.judgement == judgement}


class TestStatusMatrix:
    def test_of_the_articles_service(self) -> None:
        with serve(todos.create_app()) as server:
            replies = status_matrix(server.http + "/todos")
            assert [str(error) for error in server.errors] == ["max() arg is an empty sequence"]
        assert judged(replies, "against") == {
            ("all is well", "HEAD"),
            ("tag stale", "PUT"),
            ("tag stale", "DELETE"),
            ("not for a collection", "PUT"),
            ("not for a collection", "PATCH"),
            ("not for a collection", "DELETE"),
            ("nothing left", "POST"),
        }
        assert {("broken JSON", "POST"), ("tag known", "GET"), ("all is well", "POST")} < judged(replies, "poorer")

    def test_of_the_grown_service(self, grown: Server) -> None:
        replies = status_matrix(grown.http + "/v1/todos")
        assert not judged(replies, "against")
        assert not judged(replies, "poorer")
        assert {reply.media_type for reply in replies if reply.status >= 400} - {""} == {
            "application/problem+json"
        }

    def test_tries_each_situation_once(self, grown: Server) -> None:
        tried = [(reply.situation, reply.method) for reply in status_matrix(grown.http + "/v1/todos")]
        assert len(tried) == len(set(tried)) == 33


class TestStrangers:
    def test_a_crawler_follows_gets_only(self, grown: Server) -> None:
        before = requests.get(grown.http + "/v1/todos").json()
        assert crawl(grown.http) == 3
        assert requests.get(grown.http + "/v1/todos").json() == before

    def test_a_todos_life(self, grown: Server) -> None:
        assert create_read_update_delete(grown.http + "/v1/todos") == [201, 200, 200, 204]

    def test_old_clients_read_what_new_servers_answer(self) -> None:
        old, new = {"task": "Water"}, {"title": "Water"}
        changes = {"none": {"/v1/todo": old}, "renamed": {"/v1/todo": new, "/v2/todo": new}}
        clients = {"reader": lambda todo: "task" in todo, "anybody": lambda todo: True}
        assert old_clients_on(changes, "/v1/todo", clients) == {
            "reader": {"none": True, "renamed": False},
            "anybody": {"none": True, "renamed": True},
        }

    def test_filling_counts_what_is_there(self, grown: Server) -> None:
        fill(grown.http + "/v1/todos", 5)
        fill(grown.http + "/v1/todos", 5)
        assert [todo["id"] for todo in requests.get(grown.http + "/v1/todos").json()] == [1, 2, 3, 4, 5]


class TestPages:
    def test_a_walk_follows_the_links(self, grown: Server) -> None:
        url = grown.http + "/v1/todos"
        fill(url, 7)
        turned: list[None] = []
        assert walk(url + "?limit=3", lambda: turned.append(None)) == [[1, 2, 3], [4, 5, 6], [7]]
        assert len(turned) == 2
        assert walk(url) == [[1, 2, 3, 4, 5, 6, 7]]

    def test_a_walk_ends_at_an_error(self, grown: Server) -> None:
        with pytest.raises(requests.HTTPError, match="400"):
            walk(grown.http + "/v1/todos?cursor=guessed")

    def test_errors_are_items_missed_and_items_met_again(self) -> None:
        assert errors_of([[9, 8], [8, 7], [8]], [9, 8, 7, 6, 5]) == Errors(missing=2, doubled=2)
        assert errors_of([[10, 9], [8]], [9, 8]) == (0, 0)


class TestWriters:
    def test_they_begin_together(self, grown: Server) -> None:
        everybody_here = threading.Barrier(4)

        def work(session: requests.Session) -> int:
            everybody_here.wait(10)
            return session.get(grown.http + "/v1/todos", timeout=10).status_code

        assert all_at_once(work, 4) == [200] * 4

    def test_what_one_raises_is_raised(self) -> None:
        def work(session: requests.Session) -> None:
            raise ValueError("out of ink")

        with pytest.raises(ValueError, match="out of ink"):
            all_at_once(work, 2)


class TestFlood:
    def test_each_caller_has_its_name_and_its_calls(self) -> None:
        async def answer(request: Request) -> Response:
            return JSONResponse({}, 429 if request.headers["X-API-Key"] == "greedy" else 200)

        with serve(Starlette(routes=[Route("/", answer)])) as server:
            callers = {"greedy": Caller(3, every=0.01), "neighbour": Caller(1, every=1)}
            made = flood(server.http + "/", callers, seconds=0.2)
        assert {call.status for call in made["greedy"]} == {429}
        assert [call.status for call in made["neighbour"]] == [200]
        assert len(made["greedy"]) >= 3
        assert made["greedy"] == sorted(made["greedy"])
        assert all(call.left < 0.2 and call.took > 0 for call in made["greedy"])

    def test_a_broken_connection_is_told(self) -> None:
        with serve(Starlette()) as server:
            url = server.http + "/"
        with pytest.raises(OSError, match="refused"):
            flood(url, {"greedy": Caller(1, every=0.1)}, seconds=0.1)


class TestProtobuf:
    def test_a_message_is_field_numbers_and_values(self) -> None:
        todo = message_class("Todo", {"id": "int32", "task": "string"})
        # Field 1, varint: 08; field 2, bytes: 12 and their number.
        assert todo(id=3, task="Go").SerializeToString() == b"\x08\x03\x12\x02Go"
        assert todo.FromString(b"\x08\x03\x12\x02Go") == todo(id=3, task="Go")

    def test_many_messages_in_one(self) -> None:
        todos_class = message_class("Todo", {"id": "int32"}, each="Todos")
        assert todos_class(items=[{"id": 1}, {"id": 2}]).SerializeToString() == b"\x0a\x02\x08\x01\x0a\x02\x08\x02"

    def test_an_unknown_type(self) -> None:
        with pytest.raises(ValueError, match="TYPE_TEXT"):
            message_class("Todo", {"task": "text"})
