"""Plain Starlette, with a class for each address."""

from itertools import count

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ids = count(1)
todos = {}


def store(task, status, id=None):
    todo = {"id": next(ids) if id is None else id, "task": task, "status": status}
    todos[todo["id"]] = todo
    return todo


store("Learn REST", "Pending")
store("Build an API", "Done")


async def sent(request):
    try:
        body = await request.json()
        task, status = body["task"], body.get("status", "Pending")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise HTTPException(400, "Send a JSON object with a task.") from None
    if not (isinstance(task, str) and isinstance(status, str)):
        raise HTTPException(422, "Task and status must be text.")
    return task, status


def known(request):
    if request.path_params["id"] not in todos:
        raise HTTPException(404, "No such todo.")
    return request.path_params["id"]


class Collection(HTTPEndpoint):
    def get(self, request):
        return JSONResponse(list(todos.values()))

    async def post(self, request):
        todo = store(*await sent(request))
        where = str(request.url_for("item", id=todo["id"]))
        return JSONResponse(todo, 201, headers={"Location": where})


class Item(HTTPEndpoint):
    def get(self, request):
        return JSONResponse(todos[known(request)])

    async def put(self, request):
        task, status = await sent(request)
        return JSONResponse(store(task, status, known(request)))

    def delete(self, request):
        del todos[known(request)]
        return Response(status_code=204)


def say(request, error):
    return JSONResponse({"detail": error.detail}, error.status_code)


app = Starlette(
    routes=[Route("/todos", Collection), Route("/todos/{id:int}", Item, name="item")],
    exception_handlers={HTTPException: say},
)
