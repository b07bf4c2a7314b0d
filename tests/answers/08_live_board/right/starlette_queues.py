"""Starlette, a class for the board, a queue for each socket; the mirror starts over from a new snapshot at need."""

import asyncio
import contextlib
import json
import random
import uuid

import httpx2
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from websockets.asyncio.client import connect


class Board:
    def __init__(self):
        self.epoch = str(uuid.uuid4())
        self.seq = 0
        self.last_id = 0
        self.todos = {}
        self.queues = []
        self.lock = asyncio.Lock()

    def position(self):
        return {"epoch": self.epoch, "seq": self.seq}

    def snapshot(self):
        return self.position() | {"todos": list(self.todos.values())}

    async def commit(self, id, todo):
        async with self.lock:
            await asyncio.sleep(0.01)  # a database would take as long
            if todo is None:
                self.todos.pop(id)
            else:
                self.todos[id] = todo
            self.seq += 1
            self.tell(self.position() | {"id": id, "todo": todo})

    def tell(self, message):
        for queue in self.queues:
            queue.put_nowait(json.dumps(message))


board = Board()


async def read_todo(request):
    try:
        sent = await request.json()
        task, status = sent["task"], sent.get("status", "Pending")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return {"task": task, "status": status} if isinstance(task, str) and isinstance(status, str) else None


async def get_board(request):
    return JSONResponse(board.snapshot())


async def create(request):
    sent = await read_todo(request)
    if sent is None:
        return JSONResponse({"detail": "no todo"}, 422)
    board.last_id += 1
    todo = {"id": board.last_id, **sent}
    await board.commit(todo["id"], todo)
    return JSONResponse(todo, 201)


async def item(request):
    id = request.path_params["id"]
    sent = None
    if request.method == "PUT":
        sent = await read_todo(request)
        if sent is None:
            return JSONResponse({"detail": "no todo"}, 422)
    if id not in board.todos:
        return JSONResponse({"detail": "nothing here"}, 404)
    if request.method == "PUT":
        todo = {"id": id, **sent}
        await board.commit(id, todo)
        return JSONResponse(todo)
    await board.commit(id, None)
    return Response(status_code=204)


async def updates(websocket):
    await websocket.accept()
    queue = asyncio.Queue()
    queue.put_nowait(json.dumps(board.position()))
    board.queues.append(queue)

    async def send():
        while True:
            await websocket.send_text(await queue.get())

    sending = asyncio.create_task(send())
    try:
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        board.queues.remove(queue)
        sending.cancel()
        await asyncio.wait([sending])


PAGE = """<!doctype html>
<html lang="en"><title>Board</title>
<p id="state" role="status">Connecting</p>
<ul id="todos"></ul>
<script>
  const say = (text) => (document.getElementById("state").textContent = text);
  let newest = { epoch: "", seq: -1 };
  async function draw() {
    const board = await (await fetch("board")).json();
    if (board.epoch === newest.epoch && board.seq < newest.seq) return;
    newest = board;
    document.getElementById("todos").replaceChildren(
      ...board.todos.map((todo) => {
        const item = document.createElement("li");
        item.textContent = `${todo.task} (${todo.status})`;
        return item;
      }),
    );
  }
  function listen() {
    const socket = new WebSocket(new URL("updates", location.href).href.replace("http", "ws"));
    socket.onmessage = async () => {
      await draw();
      say("Live");
    };
    socket.onclose = () => {
      say("Not connected");
      setTimeout(listen, 100 + 200 * Math.random());
    };
  }
  listen();
</script>
"""


async def page(request):
    return HTMLResponse(PAGE)


app = Starlette(
    routes=[
        Route("/", page),
        Route("/board", get_board),
        Route("/todos", create, methods=["POST"]),
        Route("/todos/{id:int}", item, methods=["PUT", "DELETE"]),
        WebSocketRoute("/updates", updates),
    ]
)


class Follower:
    def __init__(self, base_url):
        self.base_url = base_url
        self.todos = {}
        self.epoch, self.seq = None, 0

    async def fetch(self):
        async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
            answer = await client.get(self.base_url + "/board")
        snapshot = answer.raise_for_status().json()
        self.todos.clear()
        self.todos.update({todo["id"]: todo for todo in snapshot["todos"]})
        self.epoch, self.seq = snapshot["epoch"], snapshot["seq"]

    def take(self, message):
        if message["epoch"] != self.epoch:
            return False
        if message["seq"] <= self.seq:
            return True
        if message["seq"] != self.seq + 1 or "id" not in message:
            return False
        if message["todo"] is None:
            self.todos.pop(message["id"], None)
        else:
            self.todos[message["id"]] = message["todo"]
        self.seq = message["seq"]
        return True

    async def follow(self):
        async with connect(self.base_url.replace("http", "ws", 1) + "/updates", proxy=None) as socket:
            async for text in socket:
                if not self.take(json.loads(text)):
                    await self.fetch()

    async def stay(self):
        delay = 0.05
        while True:
            try:
                await self.follow()
                delay = 0.05
            except Exception:
                delay = min(2 * delay, 0.5)
            await asyncio.sleep(random.uniform(0, delay))


@contextlib.asynccontextmanager
async def mirror(base_url):
    follower = Follower(base_url)
    task = asyncio.create_task(follower.stay())
    try:
        yield follower.todos
    finally:
        task.cancel()
        await asyncio.wait([task])
