"""No framework: one ASGI function, a log of changes that each socket reads for itself, heartbeats with a clock in them.

The mirror is a class with a thread, which fetches the whole board whenever anything is told. The page keeps a mirror of
its own in a script of its own.
"""

import asyncio
import json
import secrets
import threading
import time

import requests
from websockets.sync.client import connect

HEARTBEAT = 0.3
EPOCH = secrets.token_urlsafe()

todos = {7: ("Read the protocol", "Pending")}
log = []
bells = set()
next_id = 8
saving = None


def as_object(id):
    if id not in todos:
        return None
    return {"id": id, "task": todos[id][0], "status": todos[id][1], "address": f"/todos/{id}"}


def position():
    return {"type": "position", "epoch": EPOCH, "seq": len(log), "at": time.time()}


async def commit(id, todo):
    global saving
    saving = saving or asyncio.Lock()
    async with saving:
        await asyncio.sleep(0.005)
        if todo is None:
            if id not in todos:
                return False
            del todos[id]
        else:
            todos[id] = todo
        log.append({"type": "change", "epoch": EPOCH, "seq": len(log) + 1, "id": id, "todo": as_object(id)})
        for bell in bells:
            bell.set()
        return True


def read_todo(body):
    try:
        sent = json.loads(body)
        task, status = sent["task"], sent.get("status", "Pending")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return (task, status) if isinstance(task, str) and isinstance(status, str) else None


async def answer(method, path, body):
    global next_id
    if (method, path) == ("GET", "/"):
        return 200, "text/html; charset=utf-8", PAGE
    if (method, path) == ("GET", "/live.js"):
        return 200, "text/javascript", SCRIPT
    if (method, path) == ("GET", "/board"):
        everything = {"epoch": EPOCH, "seq": len(log), "todos": [as_object(id) for id in todos]}
        return 200, "application/json", json.dumps(everything)
    if (method, path) == ("POST", "/todos"):
        todo = read_todo(body)
        if todo is None:
            return 400, "text/plain", "no todo"
        id, next_id = next_id, next_id + 1
        await commit(id, todo)
        return 200, "application/json", json.dumps(as_object(id))
    id = int(path.removeprefix("/todos/")) if path.removeprefix("/todos/").isdecimal() else None
    if id not in todos:
        return 404, "text/plain", "nothing here"
    if method == "DELETE":
        return (200, "text/plain", "gone") if await commit(id, None) else (404, "text/plain", "nothing here")
    todo = read_todo(body)
    if todo is None:
        return 400, "text/plain", "no todo"
    if todo != todos[id]:
        await commit(id, todo)
    return 200, "application/json", json.dumps(as_object(id))


async def serve_socket(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    bell = asyncio.Event()
    bells.add(bell)
    seen = len(log)

    async def say(message):
        await send({"type": "websocket.send", "text": json.dumps(message)})

    async def tell():
        nonlocal seen
        await say(position())
        while True:
            while seen < len(log):
                seen += 1
                await say(log[seen - 1])
            bell.clear()
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await bell.wait()
            except TimeoutError:
                # What is told below this position has been told already.
                if seen == len(log):
                    await say(position())

    telling = asyncio.ensure_future(tell())
    try:
        while (await receive())["type"] != "websocket.disconnect":
            pass
    finally:
        bells.discard(bell)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def app(scope, receive, send):
    if scope["type"] == "websocket" and scope["path"] == "/updates":
        return await serve_socket(receive, send)
    if scope["type"] != "http":
        raise NotImplementedError("HTTP and /updates only")
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    status, kind, content = await answer(scope["method"], scope["path"], body)
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(content.encode())).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content.encode()})


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Board</title><script defer src="live.js"></script></head>
<body><output>…</output><table id="todos"></table>
<p>More about it <a href="https://example.org/">elsewhere</a>.</p></body></html>
"""

SCRIPT = """
const table = document.querySelector("#todos");
const state = document.querySelector("output");
state.setAttribute("role", "status");
let epoch = null, seq = -1, rows = new Map();

function put(todo) {
  const row = rows.get(todo.id) ?? table.insertRow();
  rows.set(todo.id, row);
  row.replaceChildren(...[todo.task, todo.status].map((text) => {
    const cell = document.createElement("td");
    cell.append(text);
    return cell;
  }));
}

function drop(id) {
  rows.get(id)?.remove();
  rows.delete(id);
}

async function reload() {
  const board = await (await fetch("/board")).json();
  for (const id of [...rows.keys()]) drop(id);
  board.todos.forEach(put);
  ({ epoch, seq } = board);
}

function start() {
  const socket = new WebSocket(`ws://${location.host}/updates`);
  let turn = Promise.resolve();
  socket.addEventListener("message", ({ data }) => {
    turn = turn.then(async () => {
      const message = JSON.parse(data);
      if (message.epoch === epoch && message.seq <= seq) return;
      if (message.epoch === epoch && message.seq === seq + 1 && message.type === "change") {
        if (message.todo) put(message.todo);
        else drop(message.id);
        seq = message.seq;
      } else await reload();
    }).then(() => { state.textContent = "connected"; });
  });
  socket.addEventListener("close", () => {
    epoch = null;
    state.textContent = `away since ${new Date().toISOString()}`;
    setTimeout(start, 150);
  });
}
start();
"""


class mirror:
    def __init__(self, base_url):
        self.base_url = base_url
        self.todos = {}
        self.ready = threading.Event()
        self.over = False
        self.socket = None

    async def __aenter__(self):
        threading.Thread(target=self.follow, daemon=True).start()
        await asyncio.to_thread(self.ready.wait, 10)
        return self.todos

    async def __aexit__(self, *_):
        self.over = True
        if self.socket:
            await asyncio.to_thread(self.socket.close)

    def follow(self):
        session = requests.Session()
        session.trust_env = False
        while not self.over:
            try:
                with connect(
                    self.base_url.replace("http:", "ws:") + "/updates", proxy=None, close_timeout=0.2
                ) as socket:
                    self.socket = socket
                    for _ in socket:
                        answer = session.get(self.base_url + "/board", timeout=5)
                        answer.raise_for_status()
                        self.show({str(todo["id"]): todo for todo in answer.json()["todos"]})
            except Exception:
                pass
            time.sleep(0.1 + secrets.randbelow(100) / 1000)

    def show(self, newest):
        self.todos.update(newest)
        for id in self.todos.keys() - newest.keys():
            del self.todos[id]
        self.ready.set()
