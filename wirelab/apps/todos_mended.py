"""The article's todo service with its faults repaired: same paths, same fields.

    python -m wirelab.apps.todos_mended
    curl -i http://127.0.0.1:5000/todos --json '{"task": "Water the plants"}'

An id is never given twice. One field is changed with PATCH, as PUT replaces the whole todo (RFC 9110, 9.3.4).
What cannot be understood is refused in one sentence, and nothing is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Annotated

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

MAX_BODY = 64 * 1024  # bytes
BODY_DEADLINE = 10.0  # seconds

# A length makes pydantic look into the text: half a surrogate pair, which no answer could carry, is refused.
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class NewTodo(BaseModel):
    """A whole todo, as a client sends it."""

    task: Text
    status: Text = "Pending"


class Change(BaseModel):
    """The fields to change; the defaults are never stored."""

    task: Text = "unchanged"
    status: Text = "unchanged"


class Todo(BaseModel):
    """What the service keeps and answers."""

    id: int
    task: str
    status: str


def create_app(write_time: float = 0.0, body_deadline: float = BODY_DEADLINE) -> FastAPI:
    """Make a service of its own, with two samples in it.

    Args:
        write_time: seconds that storing a new todo takes; a database would need some.
        body_deadline: seconds that a client has to send a request's body.
    """
    app = FastAPI(title="Todos", max_body_size=MAX_BODY)
    todos = {
        1: Todo(id=1, task="Learn REST", status="Pending"),
        2: Todo(id=2, task="Build an API", status="Done"),
    }
    ids = itertools.count(len(todos) + 1)

    def find(todo_id: int) -> Todo:
        if todo_id not in todos:
            raise HTTPException(404, f"There is no todo {todo_id}")
        return todos[todo_id]

    # One event loop runs every handler below: without an await, nothing comes between a look and a change.

    @app.get("/todos")
    async def list_todos() -> list[Todo]:
        return list(todos.values())

    @app.get("/todos/{todo_id}")
    async def get_todo(todo_id: int) -> Todo:
        return find(todo_id)

    @app.post("/todos", status_code=201)
    async def create_todo(new: NewTodo, response: Response) -> Todo:
        todo = Todo(id=next(ids), **new.model_dump())
        await asyncio.sleep(write_time)
        todos[todo.id] = todo
        response.headers["Location"] = f"/todos/{todo.id}"
        return todo

    @app.put("/todos/{todo_id}")
    async def replace_todo(todo_id: int, new: NewTodo) -> Todo:
        todos[todo_id] = find(todo_id).model_copy(update=new.model_dump())
        return todos[todo_id]

    @app.patch("/todos/{todo_id}")
    async def change_todo(todo_id: int, change: Change) -> Todo:
        todos[todo_id] = find(todo_id).model_copy(update=change.model_dump(exclude_unset=True))
        return todos[todo_id]

    @app.delete("/todos/{todo_id}", status_code=204)
    async def delete_todo(todo_id: int) -> None:
        del todos[find(todo_id).id]

    @app.middleware("http")
    async def receive_body(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            async with asyncio.timeout(body_deadline):
                await request.body()
        except TimeoutError:
            return JSONResponse({"detail": f"The body did not arrive within {body_deadline:g} seconds"}, 408)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it
        return await call_next(request)

    app.exception_handler(RequestValidationError)(explain)
    return app


async def explain(request: Request, error: RequestValidationError) -> JSONResponse:
    """Say in one sentence what is wrong with a request.

    FastAPI's own answer repeats the input, and fails where that cannot be written as JSON: NaN, binary data.
    """
    problems = error.errors()
    if isinstance(error.body, bytes):
        return JSONResponse({"detail": "Send JSON, with Content-Type: application/json"}, 415)
    if problems[0]["type"] == "json_invalid":
        reason, position = problems[0]["ctx"]["error"], problems[0]["loc"][1]
        return JSONResponse({"detail": f"The body is no JSON: {reason} at character {position}"}, 400)
    sentences = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems]
    return JSONResponse({"detail": "; ".join(sentences)}, 422)


app = create_app()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve todos over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    uvicorn.run(app, **vars(parser.parse_args()))
