"""The todos are a list and an id is a place in it, so that a deletion moves the ids of all behind it."""

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel

FAILS = {
    "delete.others": "expected them as they were",
    "ids.highest": "which was given before",
    "ids.all": "which was given before",
}

app = FastAPI()


class Todo(BaseModel):
    task: str
    status: str = "Pending"


todos = [Todo(task="Learn REST"), Todo(task="Build an API", status="Done")]


def shown(id):
    return {"id": id, **todos[id].model_dump()}


def check(id):
    if id not in range(len(todos)):
        raise HTTPException(404, "Todo not found")


@app.get("/todos")
def list_todos():
    return [shown(id) for id in range(len(todos))]


@app.get("/todos/{id}")
def get_todo(id: int):
    check(id)
    return shown(id)


@app.post("/todos", status_code=201)
async def create_todo(todo: Todo, response: Response):
    todos.append(todo)
    response.headers["Location"] = f"/todos/{len(todos) - 1}"
    return shown(len(todos) - 1)


@app.put("/todos/{id}")
def replace_todo(id: int, todo: Todo):
    check(id)
    todos[id] = todo
    return shown(id)


@app.delete("/todos/{id}", status_code=204)
def delete_todo(id: int):
    check(id)
    del todos[id]
