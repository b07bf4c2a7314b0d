"""PUT merges: what the client leaves out stays as it was."""

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel

FAILS = {
    "replace.default": 'its status is "Done", not "Pending"',
}

app = FastAPI()
todos = {
    1: {"id": 1, "task": "Learn REST", "status": "Pending"},
    2: {"id": 2, "task": "Build an API", "status": "Done"},
}
last_id = 2


class Change(BaseModel):
    task: str
    status: str = "Pending"


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
    global last_id
    last_id += 1
    todos[last_id] = {"id": last_id, "task": new.task, "status": new.status}
    response.headers["Location"] = f"/todos/{last_id}"
    return todos[last_id]


@app.put("/todos/{todo_id}")
async def replace_todo(todo_id: int, new: Change):
    find(todo_id).update(new.model_dump(exclude_unset=True))
    return todos[todo_id]


@app.delete("/todos/{todo_id}", status_code=204)
async def delete_todo(todo_id: int):
    find(todo_id)
    del todos[todo_id]
