"""No framework: one ASGI function, newest todos first, cursors that are looked up, versions as tags, a log of calls."""

import bisect
import json
import secrets
import time
from collections import deque
from urllib.parse import parse_qs

BURST, RATE, MAX_LIMIT = 20, 5, 100
TITLES = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    412: "Precondition Failed",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    428: "Precondition Required",
    429: "Too Many Requests",
}

# Each todo is kept with how often it was changed.
kept = {
    1: ({"id": 1, "task": "Learn REST", "status": "Pending"}, 0),
    2: ({"id": 2, "task": "Build an API", "status": "Done"}, 0),
}
ids = [1, 2]
cursors = {}
keys = {}
calls = {}


class Refused(Exception):
    def __init__(self, status, detail, **headers):
        self.status, self.detail, self.headers = status, detail, headers


# What comes in


async def read_body(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def as_json(headers, body, types):
    if headers.get("content-type", "").partition(";")[0].strip().lower() not in types:
        raise Refused(415, "wrong type")
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(400, "no JSON") from None
    if not isinstance(value, dict):
        raise Refused(422, "no object")
    return value


def as_todo(value, id):
    value = {"status": "Pending", **value, "id": id}
    if not isinstance(value.get("task"), str) or not isinstance(value["status"], str):
        raise Refused(422, "task and status are texts")
    return value


def tags(field):
    return [tag.strip() for tag in field.split(",")]


# Limits: the times of a caller's last requests


def admit(caller):
    now = time.monotonic()
    log = calls.setdefault(caller, deque())
    window = BURST / RATE
    while log and log[0] <= now - window:
        log.popleft()
    if len(log) >= BURST:
        raise Refused(429, "too many", **{"retry-after": str(int(log[0] + window - now) + 1)})
    log.append(now)


# What goes out


def choose(accept):
    wishes = []
    for part in accept.lower().replace(" ", "").split(","):
        name, _, q = part.partition(";q=")
        try:
            wishes.append((name, float(q or 1)))
        except ValueError:
            continue
    best, best_quality = None, 0
    for offered in ("application/json", "application/xml"):
        rank = {"*/*": 0, "application/*": 1, offered: 2}
        fitting = sorted((rank[name], q) for name, q in wishes if name in rank)
        if fitting and fitting[-1][1] > best_quality:
            best, best_quality = offered, fitting[-1][1]
    if best is None:
        raise Refused(406, "JSON or XML")
    return best


def quoted(text):
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(char, entity)
    return text


def as_xml(todo):
    members = " ".join(f'{name}="{quoted(str(todo[name]))}"' for name in ("id", "task", "status"))
    return f"<todo {members}/>"


def page_as_xml(todos):
    return "<todos>" + "".join(map(as_xml, todos)) + "</todos>"


def shown(headers, value, tag, status=200, **more):
    media_type = choose(headers.get("accept", "*/*"))
    more = {"etag": tag, "vary": "Accept", **more}
    if status == 200 and tag in tags(headers.get("if-none-match", "")):
        return 304, more, b""
    if media_type == "application/json":
        body = json.dumps(value)
    else:
        body = page_as_xml(value) if isinstance(value, list) else as_xml(value)
    return status, {"content-type": media_type, **more}, body.encode()


def tag_of(id):
    return f'"{id}.{kept[id][1]}"'


# Resources


def list_todos(headers, query):
    try:
        limit = min(int(query.get("limit", ["30"])[0]), MAX_LIMIT)
    except ValueError:
        limit = 0
    if limit < 1:
        raise Refused(400, "limit")
    before = None
    if "after" in query:
        if query["after"][0] not in cursors:
            raise Refused(400, "unknown cursor")
        before = cursors[query["after"][0]]
    end = len(ids) if before is None else bisect.bisect_left(ids, before)
    page = ids[max(end - limit, 0) : end][::-1]
    more = {}
    if end > limit:
        cursor = secrets.token_urlsafe(12)
        cursors[cursor] = page[-1]
        more["link"] = f'</v1/todos?after={cursor}&limit={limit}>; title="older, of course"; rel=next'
    tag = '"' + "-".join(f"{id}.{kept[id][1]}" for id in page) + '"'
    return shown(headers, [kept[id][0] for id in page], tag, **more)


def create(value):
    id = create.last = create.last + 1
    kept[id] = as_todo(value, id), 0
    ids.append(id)
    return id


create.last = 2


def post(headers, body):
    value = as_json(headers, body, ["application/json"])
    as_todo(value, 0)
    place = headers.get("x-api-key", ""), headers.get("idempotency-key", secrets.token_hex(8))
    if place not in keys:
        id = create(value)
        location = {"location": f"todos/{id}"}
        keys[place] = value, shown(headers, kept[id][0], tag_of(id), 201, **location)
    before, answer = keys[place]
    if before != value:
        raise Refused(422, "that key came with another body")
    return answer


def merge(target, patch):
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name in patch:
        merged[name] = merge(merged.get(name), patch[name])
    return {name: value for name, value in merged.items() if name not in patch or patch[name] is not None}


def patch(headers, body, id):
    change = as_json(headers, body, ["application/merge-patch+json", "application/json"])
    if "if-match" not in headers:
        raise Refused(428, "If-Match, please")
    if tag_of(id) not in tags(headers["if-match"]):
        raise Refused(412, "changed meanwhile")
    todo, version = kept[id]
    new = as_todo(merge(todo, change), id)
    if new != todo:
        kept[id] = new, version + 1
    return shown(headers, new, tag_of(id))


def delete(headers, id):
    if "if-match" in headers and tag_of(id) not in tags(headers["if-match"]):
        raise Refused(412, "changed meanwhile")
    del kept[id]
    ids.remove(id)
    return 204, {}, b""


def answer(method, path, query, headers, body):
    admit(headers.get("x-api-key", ""))
    if path == "/v1/todos":
        if method == "GET":
            return list_todos(headers, query)
        if method == "POST":
            return post(headers, body)
        raise Refused(405, "GET or POST", allow="GET,POST")
    start, _, last = path.rpartition("/")
    if start != "/v1/todos" or not last.isdecimal() or int(last) not in kept:
        raise Refused(404, "nothing here")
    id = int(last)
    if method == "GET":
        return shown(headers, kept[id][0], tag_of(id))
    if method == "PATCH":
        return patch(headers, body, id)
    if method == "DELETE":
        return delete(headers, id)
    raise Refused(405, "GET, PATCH or DELETE", allow="GET, HEAD, PATCH, DELETE")


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError("HTTP only")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body = await read_body(receive)
    try:
        query = parse_qs(scope["query_string"].decode())
        status, fields, content = answer(scope["method"], scope["path"], query, headers, body)
    except Refused as refused:
        status, fields = refused.status, {"content-type": "application/problem+json", **refused.headers}
        problem = {"type": f"tag:todos.example,2025:{status}", "title": TITLES[status], "status": status}
        content = json.dumps({**problem, "detail": refused.detail}).encode()
    if status not in (204, 304):
        fields["content-length"] = str(len(content))
    raw = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})
