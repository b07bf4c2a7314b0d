"""A shared board of todos: REST to change it, a WebSocket to follow it, a page that shows it live.

    python -m wirelab.apps.board
    then open http://127.0.0.1:8008 in two windows

Everybody who reaches the board may change it; there is no login.

    GET /board               the snapshot: {"epoch", "seq", "todos": [{"id", "task", "status"}], "people": [name]}
    GET, POST /todos         all todos; a new one (201 and its Location)
    GET, PUT, PATCH, DELETE /todos/{id}
    WebSocket /updates       one text message, a JSON object, for each thing that happens
    GET /                    the page

Changes are numbered, 1, 2, 3 and so on, and `seq` is the number of the last one; the numbers belong to an `epoch`,
a text drawn when the board is made. Two kinds of messages come over the socket:

* a *change* ``{"epoch", "seq", "id", "todo"}``: what the todo with that id is since change `seq`; null if it is
  gone;
* a *position* ``{"epoch", "seq", "people", "heartbeat"}``: where the board stands, with the names of those who
  look at it. It comes first, when somebody comes or goes, and after `heartbeat` seconds without another message.

The first position is sent once the socket is sure to hear each later change. So whoever waits for it, then gets
the snapshot, and drops each change that the snapshot holds already, misses nothing: that is what the page and
`board_client` do. A client may say ``{"name": "Ada"}``; then it is one of the `people`.

Of two who change one todo at once, the last wins, and nobody is told. That is meant so: on a small board each sees
at once what the other did. Where it would cost more than a look, ask for `If-Match`, as `todos_v1` does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.websockets import WebSocketState

HEARTBEAT = 2.0  # seconds
MAX_BODY = 16 * 1024  # bytes
# Changes that may wait for one client. Who is further behind is sent away, and comes back for a new snapshot.
MOST_WAITING = 1000
MAX_RATE = 20  # messages that a client may send in a second
POLICY_VIOLATION, TRY_AGAIN_LATER = 1008, 1013  # close codes: RFC 6455, section 7.4.1; registered with IANA

# The page may load nothing from anywhere else, and no text of a todo can become a program.
PAGE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"

Task = Annotated[str, Field(min_length=1, max_length=200)]
Status = Literal["Pending", "In progress", "Done"]


class NewTodo(BaseModel):
    """A whole todo, as a client sends it."""

    task: Task
    status: Status = "Pending"


class Change(BaseModel):
    """The fields to change; the defaults are never stored."""

    task: Task = "unchanged"
    status: Status = "Pending"


class Todo(BaseModel):
    """What the board keeps and answers."""

    id: int
    task: Task
    status: Status


class Hello(BaseModel):
    """What a client may say over the socket."""

    name: Annotated[str, Field(min_length=1, max_length=40)]


class Waiting:
    """The messages that wait for one client, oldest first. Of positions only the newest: it says all of them."""

    def __init__(self) -> None:
        self._messages: deque[str | None] = deque()
        self._position: str | None = None
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: str | None) -> None:
        """Let a message wait; None is the last one."""
        self._messages.append(message)
        self._news.set()

    def put_position(self, position: str) -> None:
        """Let a position wait, and no longer the one before it."""
        if self._position in self._messages:
            self._messages.remove(self._position)
        self._position = position
        self.put(position)

    async def get(self) -> str | None:
        """Take the next message as soon as there is one."""
        while not self._messages:
            self._news.clear()
            await self._news.wait()
        return self._messages.popleft()


class Listener:
    """A client of the socket: the messages that wait for it, and its name once it has one."""

    def __init__(self) -> None:
        self.waiting = Waiting()
        self.name = ""


class Board:
    """The todos, the number of the last change, and those who listen.

    No method awaits anything. So nothing comes between a change, its number and its place in every queue, and a
    snapshot can never hold half of a change.
    """

    def __init__(self, heartbeat: float) -> None:
        self.epoch = secrets.token_hex(8)
        self.seq = 0
        self.todos: dict[int, Todo] = {}
        self.heartbeat = heartbeat
        self._ids = itertools.count(1)
        self._listeners: set[Listener] = set()

    def snapshot(self) -> dict[str, Any]:
        """The whole board, and where it stands."""
        todos = [todo.model_dump() for todo in self.todos.values()]
        return {"epoch": self.epoch, "seq": self.seq, "todos": todos, "people": self._people()}

    def position(self) -> str:
        """The message that says where the board stands."""
        where = {"epoch": self.epoch, "seq": self.seq, "people": self._people(), "heartbeat": self.heartbeat}
        return json.dumps(where)

    def add(self, new: NewTodo) -> Todo:
        """Put a new todo on the board, under an id that was never given before."""
        return self.put(Todo(id=next(self._ids), **new.model_dump()))

    def put(self, todo: Todo) -> Todo:
        """Set a todo. One that is just like it is no change."""
        if self.todos.get(todo.id) != todo:
            self.todos[todo.id] = todo
            self._changed(todo.id)
        return todo

    def remove(self, todo_id: int) -> None:
        """Take a todo off the board."""
        del self.todos[todo_id]
        self._changed(todo_id)

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """A listener who gets the position at once, and every message from then on."""
        listener = Listener()
        listener.waiting.put_position(self.position())
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if listener.name:
                self._tell_position()

    def rename(self, listener: Listener, name: str) -> None:
        """Make a listener one of the people, or give it another name. The one that it has is no news."""
        if name != listener.name:
            listener.name = name
            self._tell_position()

    def _changed(self, todo_id: int) -> None:
        self.seq += 1
        todo = self.todos.get(todo_id)
        change = {"epoch": self.epoch, "seq": self.seq, "id": todo_id, "todo": todo and todo.model_dump()}
        message = json.dumps(change)
        for listener in list(self._listeners):
            if len(listener.waiting) < MOST_WAITING:
                listener.waiting.put(message)
            else:
                self._listeners.discard(listener)
                listener.waiting.put(None)

    def _tell_position(self) -> None:
        position = self.position()
        for listener in self._listeners:
            listener.waiting.put_position(position)

    def _people(self) -> list[str]:
        return sorted(listener.name for listener in self._listeners if listener.name)


def create_app(heartbeat: float = HEARTBEAT) -> FastAPI:
    """Make a board of its own, with three samples on it.

    Args:
        heartbeat: seconds after which a silent socket gets a message all the same.
    """
    app = FastAPI(title="Board", max_body_size=MAX_BODY)
    board = Board(heartbeat)
    board.add(NewTodo(task="Learn REST", status="Done"))
    board.add(NewTodo(task="Learn WebSockets", status="In progress"))
    board.add(NewTodo(task="Put both together"))

    def find(todo_id: int) -> Todo:
        if todo_id not in board.todos:
            raise HTTPException(404, f"There is no todo {todo_id}")
        return board.todos[todo_id]

    @app.get("/board")
    async def get_board(response: Response) -> dict[str, Any]:
        response.headers["Cache-Control"] = "no-store"
        return board.snapshot()

    @app.get("/todos")
    async def list_todos() -> list[Todo]:
        return list(board.todos.values())

    @app.get("/todos/{todo_id}")
    async def get_todo(todo_id: int) -> Todo:
        return find(todo_id)

    @app.post("/todos", status_code=201)
    async def create_todo(new: NewTodo, response: Response) -> Todo:
        todo = board.add(new)
        response.headers["Location"] = f"/todos/{todo.id}"
        return todo

    @app.put("/todos/{todo_id}")
    async def replace_todo(todo_id: int, new: NewTodo) -> Todo:
        return board.put(find(todo_id).model_copy(update=new.model_dump()))

    @app.patch("/todos/{todo_id}")
    async def change_todo(todo_id: int, change: Change) -> Todo:
        return board.put(find(todo_id).model_copy(update=change.model_dump(exclude_unset=True)))

    @app.delete("/todos/{todo_id}", status_code=204)
    async def delete_todo(todo_id: int) -> None:
        board.remove(find(todo_id).id)

    @app.websocket("/updates")
    async def updates(websocket: WebSocket) -> None:
        await websocket.accept()
        with board.listening() as listener:
            sending = asyncio.create_task(send_what_waits(websocket, listener, board))
            try:
                left = await hear(websocket, listener, board)
            finally:
                sending.cancel()
                await asyncio.wait([sending])
            if not left and websocket.application_state == WebSocketState.CONNECTED:
                await websocket.close(POLICY_VIOLATION, f"You may send {MAX_RATE} messages a second.")

    app.exception_handler(RequestValidationError)(refuse)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return part_of_page("board.html")

    @app.get("/board.js", include_in_schema=False)
    async def script() -> FileResponse:
        return part_of_page("board.js")

    @app.get("/board.css", include_in_schema=False)
    async def style() -> FileResponse:
        return part_of_page("board.css")

    return app


async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong with a request, without its input.

    FastAPI's own answer repeats that, and fails where it cannot be written as JSON: NaN, half a surrogate pair.
    """
    faults = [{key: fault[key] for key in ("type", "loc", "msg")} for fault in error.errors()]
    return JSONResponse({"detail": faults}, 422)


async def send_what_waits(websocket: WebSocket, listener: Listener, board: Board) -> None:
    """Send a listener its messages, and the position when there was none for a while."""
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            try:
                async with asyncio.timeout(board.heartbeat):
                    message = await listener.waiting.get()
            except TimeoutError:
                message = board.position()
            if message is None:
                await websocket.close(TRY_AGAIN_LATER, "You are too far behind. Come back for a new snapshot.")
                return
            await websocket.send_text(message)


async def hear(websocket: WebSocket, listener: Listener, board: Board) -> bool:
    """Take what a client says until it leaves; False if it says too much at once."""
    said: deque[float] = deque(maxlen=MAX_RATE)
    async for text in texts_from(websocket):
        now = time.monotonic()
        if len(said) == MAX_RATE and now - said[0] < 1:
            return False
        said.append(now)
        with contextlib.suppress(ValidationError):
            board.rename(listener, Hello.model_validate_json(text).name)
    return True


async def texts_from(websocket: WebSocket) -> AsyncIterator[str]:
    """Yield what a client says in texts, until it leaves."""
    while (event := await websocket.receive())["type"] != "websocket.disconnect":
        if event.get("text"):
            yield event["text"]


def part_of_page(name: str) -> FileResponse:
    """A file that lies beside this one."""
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY}
    return FileResponse(Path(__file__).with_name(name), headers=headers)


app = create_app()


def main() -> None:
    """Serve a board from a shell."""
    parser = argparse.ArgumentParser(description="A shared board of todos with a live page.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8008)
    parser.add_argument("--heartbeat", type=float, default=HEARTBEAT, help="seconds")
    options = parser.parse_args()
    uvicorn.run(create_app(options.heartbeat), host=options.host, port=options.port)


if __name__ == "__main__":
    main()
