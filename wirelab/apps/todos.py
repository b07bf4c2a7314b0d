"""The article's todo service: a REST API over a collection kept in memory.

    python -m wirelab.apps.todos
    curl http://127.0.0.1:5000/todos

It keeps the article's faults, which lesson 01 finds by experiment; `todos_mended` has them repaired.
"""

from __future__ import annotations

import argparse
import time

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel


class NewTodo(BaseModel):
    """What a client sends."""

    task: str
    status: str = "Pending"


class Todo(BaseModel):
    """What the service keeps and answers."""

    id: int
    task: str
    status: str


def create_app(write_time: float = 0.0) -> FastAPI:
    """Make a service of its own, with two samples in it.

    Args:
        write_time: seconds that storing a new todo takes; a database would need some.
    """
    app = FastAPI(title="Todos")
    todos = {
        1: Todo(id=1, task="Learn REST", status="Pending"),
        2: Todo(id=2, task="Build an API", status="Done"),
    }

    @app.get("/todos")
    def list_todos() -> list[Todo]:
        return list(todos.values())

    @app.get("/todos/{todo_id}")
    def get_todo(todo_id: int) -> Todo:
        if todo_id not in todos:
            raise HTTPException(404, "Todo not found")
        return todos[todo_id]

    @app.post("/todos", status_code=201)
    def create_todo(new: NewTodo) -> Todo:
        todo = Todo(id=max(todos) + 1, **new.model_dump())
        time.sleep(write_time)
        todos[todo.id] = todo
        return todo

    @app.put("/todos/{todo_id}")
    def replace_todo(todo_id: int, new: NewTodo) -> Todo:
        if todo_id not in todos:
            raise HTTPException(404, "Todo not found")
        todos[todo_id] = Todo(id=todo_id, **new.model_dump())
        return todos[todo_id]

    @app.delete("/todos/{todo_id}")
    def delete_todo(todo_id: int) -> dict[str, str]:
        if todo_id not in todos:
            raise HTTPException(404, "Todo not found")
        del todos[todo_id]
        return {"message": "Todo deleted"}

    return app


app = create_app()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve todos over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    uvicorn.run(app, **vars(parser.parse_args()))
