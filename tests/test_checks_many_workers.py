"""Lab 09: how its checks meet what hangs, crashes, floods or is missing, and a machine without Redis."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from lab_answers import ANSWERS, deliverables, judge, source_of, wrong_ones
from redis.asyncio import Redis

from wirelab.checks import LABS, Result, workers_broker
from wirelab.checks.workers_stage import Post, read_post
from wirelab.grading import Crew, Limits
from wirelab.grading.session import SandboxTarget, Session
from wirelab.grading.submission import Submission

NAME = "09_many_workers"
RIGHT = ANSWERS / NAME / "right" / "starlette_streams.py"


@pytest.fixture
def without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_broker.shutil, "which", lambda name: None)


def factory(app: Any) -> dict[str, Any]:
    return {"create_app": lambda broker_url: app}


def test_points() -> None:
    exercises = LABS[NAME].exercises
    assert {name: one.points for name, one in exercises.items()} == {"fanout": 4, "isolation": 2, "failure": 4}


def test_without_redis_it_is_said_what_was_not_looked_at(without_redis: None) -> None:
    for result in judge(NAME, deliverables(RIGHT), "fanout"):
        assert result.passed
        assert "(With Redis itself it was not looked at: that takes redis-server 7 or above.)" in result.message


def test_missing_deliverable_is_named(without_redis: None) -> None:
    results = judge(NAME, {})
    assert {result.passed for result in results} == {None}
    assert "there is no create_app" in results[0].message


def test_application_that_asks_for_more_is_named(without_redis: None) -> None:
    results = judge(NAME, {"create_app": lambda broker_url, port: FastAPI()}, "fanout")
    assert {result.passed for result in results} == {None}
    assert "create_app did not start" in results[0].message


def test_empty_application_is_not_attempted(without_redis: None) -> None:
    results = judge(NAME, factory(FastAPI()))
    assert all(result.message.startswith("Not attempted: ") for result in results)


def test_what_raises_is_told(without_redis: None) -> None:
    app = FastAPI()

    @app.post("/rooms/{room}/messages")
    def post(room: str) -> None:
        raise ZeroDivisionError("on purpose")

    @app.websocket("/rooms/{room}")
    async def join(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        await websocket.receive_text()

    found = wrong_ones(judge(NAME, factory(app), "fanout"))
    assert "your code raised ZeroDivisionError: on purpose" in found["fanout.post"]
    assert "got 0 of them over the WebSocket" in found["fanout.reach"]


def test_command_that_the_stand_in_does_not_know_is_no_fault(without_redis: None) -> None:
    def create_app(broker_url: str) -> FastAPI:
        app, redis = FastAPI(), Redis.from_url(broker_url)

        @app.post("/rooms/{room}/messages")
        async def post(room: str, message: dict[str, Any]) -> dict[str, Any]:
            return {"seq": await redis.eval("return redis.call('INCR', KEYS[1])", 1, room), **message}

        @app.websocket("/rooms/{room}")
        async def join(websocket: WebSocket, room: str) -> None:
            await websocket.accept()
            await websocket.receive_text()

        return app

    for result in judge(NAME, {"create_app": create_app}, "fanout"):
        assert result.message.startswith("Could not run: the small Redis of the kit, which stands in for Redis")
        assert "unknown command 'eval'" in result.message


def test_flood_and_silence_have_an_end(without_redis: None) -> None:
    app = FastAPI()

    @app.post("/rooms/{room}/messages")
    def post(room: str, message: dict[str, Any]) -> dict[str, Any]:
        return {"seq": time.time_ns(), **message}

    @app.websocket("/rooms/{room}")
    async def join(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        while True:
            await websocket.send_json({"seq": 1, "text": "flood"})
            await asyncio.sleep(0)

    begun = time.monotonic()
    found = wrong_ones(judge(NAME, factory(app), "fanout"))
    assert time.monotonic() - begun < 40
    assert "messages, too many to go on listening" in found["fanout.reach"]


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        ([], "it is no JSON object"),
        ({"text": "x"}, "it has no seq"),
        ({"seq": True, "text": "x"}, "its seq is no whole number"),
        ({"seq": 1}, "it has no text"),
        ({"seq": 1, "text": None}, "its text is no text"),
    ],
)
def test_message_that_is_none_is_named(value: Any, flaw: str) -> None:
    assert read_post(value) == flaw


def test_message_may_have_more_members() -> None:
    assert read_post({"seq": 1, "text": "x", "from": "Ada"}) == Post(1, "x")


def test_grader_has_the_broker_in_the_network_of_the_workers() -> None:
    async def graded() -> list[Result]:
        submission = Submission(f"{NAME}.py", source=source_of(RIGHT))
        results = []
        with Crew(Limits()) as crew:
            async with Session(crew, submission, LABS[NAME]) as session:
                for exercise in LABS[NAME].exercises:
                    async with SandboxTarget(session) as target:
                        results += await LABS[NAME].run(exercise, target)
        return results

    results = asyncio.run(graded())
    assert not wrong_ones(results)
    assert sum(result.score for result in results) == 10
