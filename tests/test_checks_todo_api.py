"""Lab 01: how its checks meet what is no answer at all."""

from __future__ import annotations

import os
import runpy
import time

import pytest
from fastapi import FastAPI
from lab_answers import answers, judge, wrong_ones
from starlette.responses import JSONResponse

from wirelab.checks import exchange

LAB = "01_todo_api"
BARE = runpy.run_path(str(answers(LAB, "right")[0]))["app"]


def test_empty_application_is_not_attempted():
    results = judge(LAB, {"app": FastAPI()})
    assert [result.passed for result in results] == [None] * 19
    assert all("Not attempted: " in result.message for result in results), [r.message for r in results]
    assert sum(result.score for result in results) == 0


def test_too_many_requests_are_waited_out():
    count = 0

    async def busy(scope, receive, send):
        nonlocal count
        count += 1
        if count % 3 == 0 and scope["type"] == "http":
            await JSONResponse({"detail": "slow down"}, 429, {"Retry-After": "0"})(scope, receive, send)
        else:
            await BARE(scope, receive, send)

    assert not wrong_ones(judge(LAB, {"app": busy}))


def test_hanging_handler_is_named_and_costs_its_exercise_only(monkeypatch):
    monkeypatch.setattr(exchange, "ANSWER_DEADLINE", 1.0)
    monkeypatch.setattr(exchange, "IMPATIENT_DEADLINE", 0.5)

    async def hangs(scope, receive, send):
        if scope["type"] == "http" and scope["method"] == "PUT":
            await receive()
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            await BARE(scope, receive, send)

    begun = time.monotonic()
    found = wrong_ones(judge(LAB, {"app": hangs}))
    assert time.monotonic() - begun < 20
    assert {check.partition(".")[0] for check in found} == {"replace"}
    assert "no answer within 1 seconds" in found["replace.whole"] or "hangs" in found["replace.whole"]


def test_blocked_server_is_given_up(monkeypatch):
    monkeypatch.setattr(exchange, "ANSWER_DEADLINE", 0.5)
    monkeypatch.setattr(exchange, "IMPATIENT_DEADLINE", 0.2)

    async def blocks(scope, receive, send):
        if scope["type"] == "http":
            time.sleep(600)  # noqa: ASYNC251

    found = wrong_ones(judge(LAB, {"app": blocks}))
    assert len(found) == 19
    assert "The handler hangs" in found["read.list"]


def test_process_that_ends_is_named():
    async def ends(scope, receive, send):
        if scope["type"] == "http" and scope["method"] == "POST":
            os._exit(1)
        await BARE(scope, receive, send)

    found = wrong_ones(judge(LAB, {"app": ends}))
    assert "process" in found["create.created"]
    assert "read.one" not in found


def test_error_in_a_handler_is_shown_with_its_line():
    app = FastAPI()

    @app.get("/todos")
    def list_todos():
        return todos.values()  # noqa: F821

    found = wrong_ones(judge(LAB, {"app": app}))
    assert "NameError: name 'todos' is not defined" in found["read.list"]
    assert "in list_todos: return todos.values()" in found["read.list"]


@pytest.mark.parametrize(
    ("app", "words"),
    [(42, "neither an ASGI application"), (FastAPI, "an instance"), (lambda: BARE, "call it first")],
    ids=["number", "class", "factory"],
)
def test_what_is_no_application_is_not_started(app, words):
    results = judge(LAB, {"app": app})
    assert {result.passed for result in results} == {None}
    assert all(words in result.message for result in results), results[0].message


def test_missing_deliverable_is_not_started():
    assert "there is no app" in judge(LAB, {})[0].message


def test_checks_leave_the_notebooks_objects_alone():
    space = runpy.run_path(str(answers(LAB, "right")[0]))
    before = list(space["todos"])
    judge(LAB, space)
    assert space["todos"] == before


def test_overlong_answer_is_cut_off():
    async def floods(scope, receive, send):
        if scope["type"] == "http":
            await JSONResponse(["x" * 2_000_000])(scope, receive, send)

    found = wrong_ones(judge(LAB, {"app": floods}))
    assert "more than 1,000,000 bytes" in found["read.list"]
