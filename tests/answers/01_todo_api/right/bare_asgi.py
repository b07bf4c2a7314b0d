"""No framework: one ASGI function, the answers put together by hand."""

import json

todos = [(1, "Learn REST", "Pending"), (2, "Build an API", "Done")]
last_id = 2


def as_object(todo):
    return dict(zip(("id", "task", "status"), todo, strict=True))


def read_todo(body):
    try:
        sent = json.loads(body)
    except ValueError:
        return None
    if not isinstance(sent, dict):
        return None
    task, status = sent.get("task"), sent.get("status", "Pending")
    return (task, status) if isinstance(task, str) and isinstance(status, str) else None


def collection(method, body):
    global last_id
    if method == "GET":
        return 200, [as_object(todo) for todo in todos], {}
    if method != "POST":
        return 405, {"detail": "GET or POST"}, {"allow": "GET, POST"}
    sent = read_todo(body)
    if sent is None:
        return 400, {"detail": "bad todo"}, {}
    last_id += 1
    todos.append((last_id, *sent))
    return 201, as_object(todos[-1]), {"location": f"todos/{last_id}"}


def item(method, id, body):
    place = next((place for place, todo in enumerate(todos) if str(todo[0]) == id), None)
    if place is None:
        return 404, {"detail": "nothing here"}, {}
    if method == "GET":
        return 200, as_object(todos[place]), {}
    if method == "DELETE":
        del todos[place]
        return 204, None, {}
    if method != "PUT":
        return 405, {"detail": "GET, PUT or DELETE"}, {"allow": "GET, PUT, DELETE"}
    sent = read_todo(body)
    if sent is None:
        return 400, {"detail": "bad todo"}, {}
    todos[place] = (todos[place][0], *sent)
    return 200, as_object(todos[place]), {}


async def read_body(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError("HTTP only")
    body = await read_body(receive)
    parts = scope["path"].strip("/").split("/")
    if parts == ["todos"]:
        status, answer, headers = collection(scope["method"], body)
    elif len(parts) == 2 and parts[0] == "todos":
        status, answer, headers = item(scope["method"], parts[1], body)
    else:
        status, answer, headers = 404, {"detail": "nothing here"}, {}
    fields = [(name.encode(), value.encode()) for name, value in headers.items()]
    content = b"" if answer is None else json.dumps(answer).encode()
    if content:
        fields += [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": content})
