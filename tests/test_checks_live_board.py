"""Lab 08: how its checks meet what hangs, crashes, lies or is missing, with and without a browser."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import time
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.responses import HTMLResponse
from lab_answers import ANSWERS, deliverables, judge, source_of, wrong_ones

from wirelab.checks import LABS, Result
from wirelab.checks.board_browser import browser_path
from wirelab.checks.board_messages import difference, read_snapshot, read_update, replay
from wirelab.grading import Crew, Limits
from wirelab.grading.session import SandboxTarget, Session
from wirelab.grading.submission import Submission

NAME = "08_live_board"
RIGHT = ANSWERS / NAME / "right" / "starlette_queues.py"

needs_browser = pytest.mark.skipif(browser_path() is None, reason="needs Chromium and the package playwright")


def judge_some(objects: dict[str, Any], *exercises: str) -> list[Result]:
    return judge(NAME, objects, *exercises)


def right(**others: Any) -> dict[str, Any]:
    """A right answer, and what stands in the place of its names."""
    return {**deliverables(RIGHT), **others}


def board_with_page(page: str) -> FastAPI:
    """A right board behind another page."""
    app = FastAPI()

    @app.get("/", response_class=HTMLResponse)
    def get_page() -> str:
        return page

    app.mount("/", deliverables(RIGHT)["app"])
    return app


def test_ten_points() -> None:
    lab = LABS[NAME]
    assert {name: exercise.points for name, exercise in lab.exercises.items()} == {
        "publish": 3.5,
        "mirror": 2,
        "recover": 2.5,
        "page": 2,
    }


def test_missing_deliverables_are_not_started() -> None:
    results = judge_some({}, *LABS[NAME].exercises)
    assert {result.passed for result in results} == {None}
    assert "there is no app" in results[0].message
    assert "there is no mirror" in {result.id: result for result in results}["mirror.snapshot"].message


# publish


def test_socket_that_nobody_wrote_is_not_attempted() -> None:
    app = FastAPI()

    @app.get("/board")
    def snapshot() -> dict[str, Any]:
        return {"epoch": "x", "seq": 0, "todos": []}

    @app.websocket("/updates")
    async def updates(websocket: WebSocket) -> None:
        await websocket.accept()
        raise NotImplementedError

    for result in judge_some({"app": app}, "publish"):
        assert result.message.startswith("Not attempted: who listens to /updates gets "), result


def test_flood_of_messages_is_no_endless_check() -> None:
    app = FastAPI()

    @app.get("/board")
    def snapshot() -> dict[str, Any]:
        return {"epoch": "x", "seq": 0, "todos": []}

    @app.websocket("/updates")
    async def updates(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(Exception):
            while True:
                await websocket.send_json({"epoch": "x", "seq": 0, "id": 1, "todo": None})
                await asyncio.sleep(0)

    begun = time.monotonic()
    found = wrong_ones(judge_some({"app": app}, "publish"))
    assert time.monotonic() - begun < 40
    assert "expected a position first" in found["publish.position"]


def test_epoch_that_is_the_same_in_every_run_is_found_where_there_are_fresh_interpreters() -> None:
    source = source_of(RIGHT).replace("self.epoch = str(uuid.uuid4())", 'self.epoch = "the one and only"')

    async def graded() -> list[Result]:
        submission = Submission(f"{NAME}.py", source=source)
        with Crew(Limits()) as crew:
            async with Session(crew, submission, LABS[NAME]) as session, SandboxTarget(session) as target:
                return await LABS[NAME].run("publish", target)

    found = wrong_ones(asyncio.run(graded()))
    assert set(found) == {"publish.position"}
    assert 'got the epoch "the one and only" from both' in found["publish.position"]


# mirror and recover


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let checks of mirrors soon lose patience."""
    for name, seconds in (("EQUAL", 0.5), ("IMPATIENT", 0.2), ("LOOK", 0.2), ("STUB", 0.2)):
        monkeypatch.setattr(f"wirelab.checks.board_stage.{name}_DEADLINE", seconds)


@contextlib.asynccontextmanager
async def raises(base_url: str) -> Any:
    raise ZeroDivisionError("on purpose")
    yield


@contextlib.asynccontextmanager
async def gives_a_list(base_url: str) -> Any:
    yield [1, 2]


@contextlib.asynccontextmanager
async def never_begins(base_url: str) -> Any:
    await asyncio.Event().wait()
    yield {}


@contextlib.asynccontextmanager
async def blocks(base_url: str) -> Any:
    time.sleep(600)  # noqa: ASYNC251
    yield {}


@pytest.mark.parametrize(
    ("mirror", "words"),
    [
        (raises, "no mirror (your code raised ZeroDivisionError: on purpose)"),
        (gives_a_list, "[1, 2] as its value, which is no dict"),
        (never_begins, "no mirror: `async with` has not come to its block yet"),
        (blocks, "no mirror: `async with` has not come to its block yet"),
        (lambda base_url: 42, "your code raised AttributeError"),
    ],
    ids=["raises", "list", "never begins", "blocks", "number"],
)
def test_what_is_no_mirror_is_named(mirror: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    found = wrong_ones(judge_some({"mirror": mirror}, "mirror"))
    assert words in found["mirror.snapshot"]
    assert len(found) == 4


def test_mirror_that_only_asks_again_and_again_is_told_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    hurry(monkeypatch)

    @contextlib.asynccontextmanager
    async def polls(base_url: str) -> Any:
        board: dict[int, Any] = {}

        async def poll() -> None:
            while True:
                answer = await asyncio.to_thread(requests.get, f"{base_url}/board", timeout=5)
                board.clear()
                board.update({todo["id"]: todo for todo in answer.json()["todos"]})
                await asyncio.sleep(0.05)

        task = asyncio.create_task(poll())
        yield board
        task.cancel()

    found = wrong_ones(judge_some({"mirror": polls}, "mirror"))
    assert "got no connection to /updates" in found["mirror.snapshot"]


# page

LISTENS = """<!doctype html><p role="status">?</p><ul id="todos"></ul>
<script>const socket = new WebSocket(`ws://${location.host}/updates`);</script>"""


@needs_browser
def test_page_that_loops_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirelab.checks.board_browser.SHOW_DEADLINE", 4.0)
    monkeypatch.setattr("wirelab.checks.board_page.SHOW_DEADLINE", 4.0)
    app = board_with_page(LISTENS + "<script>setTimeout(() => { while (true); }, 200)</script>")
    begun = time.monotonic()
    found = wrong_ones(judge_some({"app": app}, "page"))
    assert time.monotonic() - begun < 60
    assert set(found) == {"page.live", "page.text", "page.honest"}
    assert "does its program loop for ever?" in found["page.live"] or "without a reload" in found["page.live"]


@needs_browser
def test_page_reaches_its_own_server_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirelab.checks.board_page.SHOW_DEADLINE", 1.5)
    heard = []

    async def someone_else(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    async def judged() -> list[Result]:
        from wirelab.checks.local import LocalTarget

        async with await asyncio.start_server(someone_else, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            there = f"127.0.0.1:{port}"
            code = f'const at = "{there}"; fetch("http" + "://" + at); new WebSocket("ws" + "://" + at);'
            app = board_with_page(LISTENS + f"<script>{code}</script>")
            async with LocalTarget(LABS[NAME], {"app": app}) as target:
                return await LABS[NAME].run("page", target)

    found = wrong_ones(asyncio.run(judged()))
    assert "which is not on its server" in found["page.live"]
    assert not heard


@pytest.mark.parametrize(
    ("path", "why"),
    [(None, "none"), ("/bin/false", "one that does not start")],
    ids=["no browser", "broken browser"],
)
def test_without_a_browser_the_page_is_judged_over_the_wire(
    path: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path and importlib.util.find_spec("playwright") is None:
        pytest.skip("needs the package playwright")
    monkeypatch.setattr("wirelab.checks.board_page.browser_path", lambda: path)
    results = judge_some(right(), "page")
    assert not wrong_ones(results)
    assert [result.message.endswith("playwright.)") for result in results] == [False, True, True, True]

    found = wrong_ones(judge_some({"app": board_with_page("<p>A board</p>")}, "page"))
    assert "names no socket" in found["page.served"]
    assert "this needs a page that listens to /updates" in found["page.live"]

    found = wrong_ones(judge_some({"app": board_with_page("<p>I listen to /updates</p>")}, "page"))
    assert set(found) == {"page.honest"}
    assert 'without role="status"' in found["page.honest"]


# What boards say


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ("{", "no JSON object"),
        ("[]", "no JSON object"),
        ('{"seq": 1}', "no epoch"),
        ('{"epoch": 7, "seq": 1}', "no epoch that is a text"),
        ('{"epoch": "x", "seq": "1"}', "no seq"),
        ('{"epoch": "x", "seq": true}', "no seq"),
        ('{"epoch": "x", "seq": 1, "id": 1}', "no todo"),
        ('{"epoch": "x", "seq": 1, "todo": null}', "no id"),
        ('{"epoch": "x", "seq": 1, "id": 2, "todo": {"id": 1, "task": "a", "status": "b"}}', "its id is 1, not 2"),
    ],
)
def test_message_that_is_none_is_named(raw: str, fault: str) -> None:
    said = read_update(raw)
    assert isinstance(said, str)
    assert fault in said


def test_messages_and_snapshots_may_have_more_members() -> None:
    todo = {"id": 1, "task": "a", "status": "b"}
    position = read_update('{"epoch": "x", "seq": 1, "people": []}')
    change = read_update('{"epoch": "x", "seq": 2, "id": 1, "todo": null, "at": 3}')
    snapshot = read_snapshot({"epoch": "x", "seq": 1, "todos": [todo], "people": []})
    assert not isinstance(position, str)
    assert not position.is_change
    assert not isinstance(change, str)
    assert not isinstance(snapshot, str)
    assert replay(snapshot.todos, [change]) == {}
    assert "todo 1 is there, and on the board it is not" in difference(snapshot.todos, {})
    assert "is missing" in difference({}, snapshot.todos)
