"""The article's own way to choose an id: one more than the highest."""

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel

FAILS = {
    "ids.highest": "which was given before",
    "ids.all": "your code raised ValueError: max()",
}

app = FastAPI()
todos = {
    1: {"id": 1, "task": "Learn REST", "status": "Pending"},
    2: {"id": 2, "task": "Build an API", "status": "Done"},
}


class NewTodo(BaseModel):
    task: str
    status: str = "Pending"


def find(todo_id):
    if todo_id not in todos:
        raise HTTPException(404, "Todo not found")
    return todos[todo_id]


@app.get("/todos")
async def list_todos():
    return list(todos.values())


@app.get("/todos/{todo_id}")
async def get_todo(todo_id: int):
    return find(todo_id)


@app.post("/todos", status_code=201)
async def create_todo(new: NewTodo, response: Response):
    todo_id = max(todos.keys()) + 1
    todos[todo_id] = {"id": todo_id, "task": new.task, "status": new.status}
    response.headers["Location"] = f"/todos/{todo_id}"
    return todos[todo_id]


@app.put("/todos/{todo_id}")
async def replace_todo(todo_id: int, new: NewTodo):
    find(todo_id)
    todos[todo_id] = {"id": todo_id, "task": new.task, "status": new.status}
    return todos[todo_id]


@app.delete("/todos/{todo_id}", status_code=204)
async def delete_todo(todo_id: int):
    find(todo_id)
    del todos[todo_id]
