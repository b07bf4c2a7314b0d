"""The todo is stored first and looked at afterwards."""

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel

FAILS = {
    "create.invalid": "yet a todo with the id",
}

app = FastAPI()
todos = {
    1: {"id": 1, "task": "Learn REST", "status": "Pending"},
    2: {"id": 2, "task": "Build an API", "status": "Done"},
}
last_id = 2


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
async def create_todo(new: dict, response: Response):
    global last_id
    last_id += 1
    todo = {"id": last_id, "task": new.get("task"), "status": new.get("status", "Pending")}
    todos[last_id] = todo
    if not isinstance(todo["task"], str) or not isinstance(todo["status"], str):
        raise HTTPException(422, "task and status must be text")
    response.headers["Location"] = f"/todos/{last_id}"
    return todo


@app.put("/todos/{todo_id}")
async def replace_todo(todo_id: int, new: NewTodo):
    find(todo_id)
    todos[todo_id] = {"id": todo_id, "task": new.task, "status": new.status}
    return todos[todo_id]


@app.delete("/todos/{todo_id}", status_code=204)
async def delete_todo(todo_id: int):
    find(todo_id)
    del todos[todo_id]
