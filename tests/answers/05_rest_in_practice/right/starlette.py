"""Plain Starlette: routes and responses, tags from a counter of changes, signed cursors, a token bucket."""

import asyncio
import hashlib
import hmac
import json
import math
import secrets
import time
from http import HTTPStatus
from xml.etree import ElementTree

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BURST, RATE, MAX_LIMIT = 20, 5, 100
SECRET = secrets.token_bytes(16)

todos = {
    1: {"id": 1, "task": "Learn REST", "status": "Pending"},
    2: {"id": 2, "task": "Build an API", "status": "Done"},
}
last_id = 2
created = {}
buckets = {}


# Errors


class Problem(JSONResponse):
    media_type = "application/problem+json"

    def __init__(self, status, detail="", headers=None):
        title = HTTPStatus(status).phrase
        super().__init__(
            {"type": "about:blank", "title": title, "status": status, "detail": detail}, status, headers
        )


async def on_http_error(request, error):
    return Problem(error.status_code, error.detail, error.headers)


def refuse(method_names):
    async def endpoint(request):
        return Problem(405, "There is no such method here.", {"Allow": ", ".join(method_names)})

    return endpoint


async def sent_json(request, *media_types):
    if request.headers.get("content-type", "").split(";")[0].strip().lower() not in media_types:
        raise HTTPException(415, "Send " + " or ".join(media_types))
    try:
        return json.loads(await request.body())
    except ValueError:
        raise HTTPException(400, "That is no JSON.") from None


def checked(value):
    if not isinstance(value, dict) or not isinstance(value.get("task"), str):
        raise HTTPException(422, "A todo has a task.")
    if not isinstance(value.setdefault("status", "Pending"), str):
        raise HTTPException(422, "The status is a text.")
    return value


def find(request):
    try:
        return todos[int(request.path_params["id"])]
    except (ValueError, KeyError):
        raise HTTPException(404, "There is no such todo.") from None


# Formats

JSON, XML = "application/json", "application/xml"


def quality(accept, media_type):
    found = {}
    for part in accept.split(","):
        name, *parameters = [piece.strip() for piece in part.split(";")]
        q = [float(piece[2:]) for piece in parameters if piece.startswith("q=")]
        found[name] = q[0] if q else 1.0
    for name in (media_type, media_type.split("/")[0] + "/*", "*/*"):
        if name in found:
            return found[name]
    return 0.0


def chosen(request):
    accept = request.headers.get("accept", "*/*")
    json_quality, xml_quality = quality(accept, JSON), quality(accept, XML)
    if not max(json_quality, xml_quality):
        raise HTTPException(406, "There is JSON and XML.")
    return JSON if json_quality >= xml_quality else XML


def xml_of(todo):
    element = ElementTree.Element("todo", id=str(todo["id"]))
    for name in ("task", "status"):
        ElementTree.SubElement(element, name).text = todo[name]
    return element


def written(value, media_type):
    if media_type == JSON:
        return json.dumps(value, sort_keys=True).encode()
    if isinstance(value, dict):
        return ElementTree.tostring(xml_of(value))
    root = ElementTree.Element("todos")
    root.extend(map(xml_of, value))
    return ElementTree.tostring(root)


# Tags


def tag_of(value, media_type):
    return '"%s"' % hashlib.md5(written(value, media_type)).hexdigest()


def listed(field):
    return [tag.strip() for tag in field.split(",")]


def answer(request, value, status=200, **headers):
    media_type = chosen(request)
    tag = tag_of(value, media_type)
    headers = {"ETag": tag, "Vary": "Accept", **headers}
    if request.method == "GET" and tag in listed(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(written(value, media_type), status, headers, media_type)


def refuse_stale(request, todo):
    if not {tag_of(todo, JSON), tag_of(todo, XML)} & set(listed(request.headers["if-match"])):
        raise HTTPException(412, "It has changed.")


# Pages


def signed(last):
    return f"{last}.{hmac.new(SECRET, str(last).encode(), 'sha256').hexdigest()}"


def read_cursor(cursor):
    last = cursor.split(".")[0]
    if not hmac.compare_digest(signed(last).encode(), cursor.encode()):
        raise HTTPException(400, "This cursor was not issued here.")
    return int(last)


async def list_todos(request):
    try:
        limit = min(int(request.query_params.get("limit", 20)), MAX_LIMIT)
    except ValueError:
        limit = 0
    if limit < 1:
        raise HTTPException(422, "limit is a number from 1.")
    last = read_cursor(request.query_params["cursor"]) if "cursor" in request.query_params else 0
    found = [todo for id, todo in todos.items() if id > last]
    headers = {}
    if len(found) > limit:
        headers["Link"] = f'<?limit={limit}&cursor={signed(found[limit - 1]["id"])}>; rel="next"'
    return answer(request, found[:limit], **headers)


# One todo


async def get_todo(request):
    return answer(request, find(request))


def make(sent):
    global last_id
    todo = checked(dict(sent) if isinstance(sent, dict) else sent)
    last_id += 1
    todos[last_id] = {**todo, "id": last_id}
    return todos[last_id]


async def create_todo(request):
    sent = await sent_json(request, JSON)
    key = request.headers.get("idempotency-key")
    name = (request.headers.get("x-api-key"), key)
    if key is None:
        todo = make(sent)
    else:
        if name not in created:
            created[name] = (sent, make(sent))
        before, todo = created[name]
        if before != sent:
            raise HTTPException(422, "This key came with another body.")
    return answer(request, todo, 201, Location=f"/v1/todos/{todo['id']}")


def merge(target, patch):
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merge(target.get(name), value)
    return target


async def patch_todo(request):
    patch = await sent_json(request, "application/merge-patch+json", JSON)
    todo = find(request)
    if "if-match" not in request.headers:
        raise HTTPException(428, "Send If-Match.")
    refuse_stale(request, todo)
    todos[todo["id"]] = {**checked(merge(todo, patch)), "id": todo["id"]}
    return answer(request, todos[todo["id"]])


async def delete_todo(request):
    todo = find(request)
    if "if-match" in request.headers:
        refuse_stale(request, todo)
    del todos[todo["id"]]
    return Response(status_code=204)


# Limits


def wait_for(caller):
    now = time.monotonic()
    tokens, at = buckets.get(caller, (BURST, now))
    tokens = min(BURST, tokens + (now - at) * RATE)
    if tokens < 1:
        buckets[caller] = tokens, now
        return (1 - tokens) / RATE
    buckets[caller] = tokens - 1, now
    return 0


class Limits:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        app = self.app
        if scope["type"] == "http":
            request = Request(scope)
            caller = request.headers.get("x-api-key") or request.client.host
            wait = wait_for(caller)
            if wait:
                app = Problem(429, "Slow down.", {"Retry-After": str(math.ceil(wait))})
        await app(scope, receive, send)


app = Starlette(
    routes=[
        Route("/v1/todos", list_todos, methods=["GET"]),
        Route("/v1/todos", create_todo, methods=["POST"]),
        Route("/v1/todos", refuse(["GET", "POST", "HEAD"]), methods=["PUT", "PATCH", "DELETE"]),
        Route("/v1/todos/{id}", get_todo, methods=["GET"]),
        Route("/v1/todos/{id}", patch_todo, methods=["PATCH"]),
        Route("/v1/todos/{id}", delete_todo, methods=["DELETE"]),
        Route("/v1/todos/{id}", refuse(["GET", "PATCH", "DELETE", "HEAD"]), methods=["PUT", "POST"]),
    ],
    middleware=[Middleware(Limits)],
    exception_handlers={HTTPException: on_http_error},
)
