"""Somebody who keeps changing a board, and pages of it that are kept live."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
from fastapi import FastAPI, Header, HTTPException, WebSocket
from fastapi.sse import EventSourceResponse, format_sse_event

from wirelab import Server, serve
from wirelab.apps.board import Board, NewTodo, Todo, send_what_waits, texts_from
from wirelab.board_trials import BoardEvents, BoardSocket, PollBoard, busy, change_todos, keep_live
from wirelab.schedules import Schedule

TOKEN = "let me in"
WAYS = {"poll": PollBoard(0.2), "SSE": BoardEvents(), "WebSocket": BoardSocket()}


def board_app(*tasks: str, deaf: bool = False) -> FastAPI:
    """A board behind a login; one that is deaf ends its streams at once."""
    app, board = FastAPI(), Board(heartbeat=5)
    for task in tasks:
        board.add(NewTodo(task=task))

    def let_in(authorization: str) -> None:
        if authorization != f"Bearer {TOKEN}":
            raise HTTPException(401)

    @app.get("/board")
    async def get_board(authorization: str = Header("")) -> dict[str, Any]:
        let_in(authorization)
        return board.snapshot()

    @app.put("/todos/{todo_id}")
    async def replace(todo_id: int, new: NewTodo, authorization: str = Header("")) -> Todo:
        let_in(authorization)
        return board.put(Todo(id=todo_id, **new.model_dump()))

    @app.get("/events")
    async def events(authorization: str = Header("")) -> EventSourceResponse:
        let_in(authorization)

        async def stream() -> Any:
            with board.listening() as listener:
                while text := await listener.waiting.get():
                    yield format_sse_event(data_str=text)

        return EventSourceResponse(stream())

    @app.websocket("/updates")
    async def updates(websocket: WebSocket) -> None:
        await websocket.accept()
        assert await anext(texts_from(websocket)) == TOKEN
        with board.listening() as listener:
            if deaf:
                await websocket.send_text(board.position())
                return
            sending = asyncio.create_task(send_what_waits(websocket, listener, board))
            async for _ in texts_from(websocket):
                pass
            sending.cancel()

    return app


@pytest.fixture
def board() -> Iterator[Server]:
    with serve(board_app("Learn REST", "Learn WebSockets")) as server:
        yield server


def seq_of(board: Server) -> int:
    answer = requests.get(board.http + "/board", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    return int(json.loads(answer.content)["seq"])


def test_each_change_is_one_and_is_told_by_its_number(board: Server) -> None:
    before = seq_of(board)
    sent = asyncio.run(change_todos(board.http, TOKEN, [0.0, 0.02, 0.04]))
    assert list(sent) == [before + 1, before + 2, before + 3]
    assert seq_of(board) == before + 3
    moments = np.array(list(sent.values()))
    assert all(np.diff(moments) > 0)
    assert moments[2] - moments[0] > 0.03


def test_changes_that_are_refused_are_an_error(board: Server) -> None:
    with pytest.raises(RuntimeError, match="no todo to change"):
        asyncio.run(change_todos(board.http, "no token", [0.0]))
    with serve(board_app()) as empty, pytest.raises(RuntimeError, match="no todo to change"):
        asyncio.run(change_todos(empty.http, TOKEN, [0.0]))


def test_busy_ends_with_its_block_and_tells_what_went_wrong(board: Server) -> None:
    async def work(token: str) -> int:
        async with busy(board.http, token, rate=100):
            await asyncio.sleep(0.3)
        return seq_of(board)

    before = seq_of(board)
    after = asyncio.run(work(TOKEN))
    assert after >= before + 3
    time.sleep(0.2)
    # One more may have been on its way.
    assert seq_of(board) <= after + 1
    with pytest.raises(RuntimeError, match="no todo"):
        asyncio.run(work("no token"))


def test_every_page_learns_of_every_change_and_pays_for_it(board: Server) -> None:
    changes = Schedule(np.array([0.05, 0.15, 0.3, 0.31]), 0.5)
    kept = asyncio.run(keep_live(board.http, TOKEN, WAYS, changes))
    assert list(kept) == list(WAYS)
    for page in kept.values():
        assert len(page.ages) == 4
        assert all(page.ages > 0)
        counts = [count for _, count in page.traffic]
        assert counts == sorted(counts)
        assert page.bytes == counts[-1] > 300
    assert kept["poll"].ages.mean() > max(kept["SSE"].ages.mean(), kept["WebSocket"].ages.mean())


def test_a_page_whose_stream_ends_is_an_error() -> None:
    changes = Schedule(np.array([0.2]), 0.5)
    with serve(board_app("Learn REST", deaf=True)) as deaf, pytest.raises(ConnectionError):
        asyncio.run(keep_live(deaf.http, TOKEN, {"WebSocket": BoardSocket()}, changes))


def test_a_page_that_never_learns_of_a_change_is_an_error(board: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirelab.board_trials.GRACE", 0.2)
    changes = Schedule(np.array([0.1]), 0.2)
    with pytest.raises(TimeoutError):
        asyncio.run(keep_live(board.http, TOKEN, {"never again": PollBoard(60)}, changes))


def test_nothing_is_left_open(board: Server) -> None:
    async def names() -> list[str]:
        await keep_live(board.http, TOKEN, WAYS, Schedule(np.array([0.05]), 0.1))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(names()) == []
