"""The todo service as other people's programs need it: versioned, in pages, cacheable, safe to retry, limited.

    python -m wirelab.apps.todos_v1
    curl -i http://127.0.0.1:5000/v1/todos?limit=1

What it promises stands in its own OpenAPI document, ``/openapi.json``; what it follows:

* errors are problem details (RFC 9457), and a 405 names every method that there is (RFC 9110, 15.5.6);
* HEAD is answered wherever GET is (RFC 9110, 9.3.2);
* ``ETag``, ``If-None-Match``, ``If-Match`` (RFC 9110, 13); a PATCH without ``If-Match`` gets a 428 (RFC 6585);
* PATCH (RFC 5789) takes a merge patch (RFC 7396); PUT and DELETE honour ``If-Match`` if it is sent;
* pages are linked with ``Link: <…>; rel="next"`` (RFC 8288);
* ``Idempotency-Key`` follows the draft of the IETF's httpapi group (draft-ietf-httpapi-idempotency-key-header);
* ``Accept`` chooses between JSON and XML (RFC 9110, 12.5.1).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import itertools
import json
import math
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, NoReturn, TypeAlias
from xml.sax.saxutils import escape

import uvicorn
from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

BURST, RATE = 20, 5.0  # requests at once; requests a second after that
PAGE, MAX_LIMIT = 20, 100  # todos on a page, unless asked for otherwise; and at most
MAX_BODY = 64 * 1024  # bytes
MAX_DEPTH = 32  # JSON inside JSON
CALLERS_KEPT = KEYS_KEPT = 10_000

JSON, XML = "application/json", "application/xml"
MERGE_PATCH, PROBLEM = "application/merge-patch+json", "application/problem+json"
OFFERED = (JSON, XML)  # of equally welcome formats, the first

TodoDict: TypeAlias = dict[str, Any]

# What XML cannot carry either (XML 1.0, 2.2).
Text = Annotated[
    str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]*$")
]


class NewTodo(BaseModel):
    """A todo as a client sends it; members of its own are kept, and an id that it sends is ignored."""

    model_config = ConfigDict(extra="allow", strict=True)

    task: Text
    status: Text = "Pending"


class Todo(NewTodo):
    """A todo as the service answers it."""

    id: int


class TodoPatch(BaseModel):
    """The members to change; null takes one away, and sets the status back to Pending."""

    model_config = ConfigDict(extra="allow", strict=True)

    task: Text | None = None
    status: Text | None = None


class ProblemDetails(BaseModel):
    """What went wrong, for programs (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str | None = None


class Problem(Exception):
    """A request that cannot be answered as its sender hoped.

    Args:
        status: the status code.
        detail: one sentence on this very request.
        name: of the kind of problem, where the status code does not say it all.
        headers: header fields of the answer.
        more: members of its own that the kind of problem has.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        name: str = "",
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        title = name.replace("-", " ").capitalize() if name else HTTPStatus(status).phrase
        # A name that need not be looked up (RFC 4151), or nothing more than the status code (RFC 9457, 4.2.1).
        kind = f"tag:wirelab.example,2025:{name}" if name else "about:blank"
        members = {"type": kind, "title": title, "status": status, "detail": detail, **(more or {})}
        self.response = Response(json.dumps(members), status, headers, PROBLEM)


# Methods


class HeadLikeGet:
    """Has HEAD answered as GET would be (RFC 9110, 9.3.2). The server knows what came, and leaves out the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        asked = scope.get("method")
        await self._app({**scope, "method": "GET"} if asked == "HEAD" else scope, receive, send)


# Rate limits


class Buckets:
    """A bucket of `burst` tokens for each caller, filled with `rate` tokens a second.

    Kept as one time for each caller, the time at which its bucket is full again: the generic cell rate algorithm.
    """

    def __init__(self, burst: int, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._rate, self._clock = burst, rate, clock
        self._full_at: dict[str, float] = {}

    def take(self, caller: str) -> float:
        """Take a token; seconds until there will be one, 0 if it was there."""
        now = self._clock()
        full_at = max(self._full_at.get(caller, now), now) + 1 / self._rate
        if (wait := full_at - now - self._burst / self._rate) > 1e-9:
            return wait
        self._full_at[caller] = full_at
        if len(self._full_at) > CALLERS_KEPT:
            self._full_at = {one: full for one, full in self._full_at.items() if full > now}
        return 0.0


# Representations


def as_json(value: Any) -> str:
    """JSON, the same text for equal values."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)


def in_order(todo: TodoDict) -> TodoDict:
    """What every todo has first, then the rest by name."""
    return {name: todo[name] for name in ("id", "task", "status")} | dict(sorted(todo.items()))


def as_xml(todo: TodoDict) -> str:
    """A todo as XML; what it has beyond an id, a task and a status is JSON text in an element of its own."""
    more = {name: value for name, value in todo.items() if name not in ("id", "task", "status")}
    texts = {name: str(todo[name]) for name in ("id", "task", "status")}
    if more:
        texts["more"] = json.dumps(more, sort_keys=True)
    # A bare carriage return would come out of an XML parser as a line feed.
    inside = (f"<{name}>{escape(text, {chr(13): '&#13;'})}</{name}>" for name, text in texts.items())
    return f"<todo>{''.join(inside)}</todo>"


def written(value: TodoDict | list[TodoDict], media_type: str) -> bytes:
    """The body of a todo or of a page of them."""
    if media_type == JSON:
        ordered = [in_order(todo) for todo in value] if isinstance(value, list) else in_order(value)
        return json.dumps(ordered, ensure_ascii=False).encode()
    xml = f"<todos>{''.join(map(as_xml, value))}</todos>" if isinstance(value, list) else as_xml(value)
    return f'<?xml version="1.0" encoding="UTF-8"?>{xml}'.encode()


def tag_of(value: TodoDict | list[TodoDict], media_type: str, link: str = "") -> str:
    """A strong entity tag: equal for equal answers, also after a restart."""
    return f'"{hashlib.sha256(written(value, media_type) + link.encode()).hexdigest()[:20]}"'


def chosen(accept: str) -> str:
    """The media type that a client likes best.

    Raises:
        Problem: 406, it takes none that there is.
    """
    likes = list(_media_ranges(accept)) or [("*/*", 1.0)]

    def quality(media_type: str) -> float:
        # The most special range that fits decides (RFC 9110, 12.5.1).
        for wanted in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
            if found := [q for media_range, q in likes if media_range == wanted]:
                return max(found)
        return 0.0

    best = max(OFFERED, key=quality)
    if not quality(best):
        raise Problem(406, f"There is {' and '.join(OFFERED)}.", more={"available": list(OFFERED)})
    return best


def _media_ranges(accept: str) -> Iterable[tuple[str, float]]:
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        q = next((piece[2:].strip() for piece in parameters if piece.startswith("q=")), "1")
        if media_range:
            try:
                yield media_range, min(max(float(q), 0.0), 1.0)
            except ValueError:
                yield media_range, 0.0


# Requests


def listed(field: str) -> set[str]:
    """The entity tags of an If-Match or If-None-Match."""
    return {part.strip() for part in field.split(",")}


def refuse_stale(if_match: str | None, todo: TodoDict) -> None:
    """Compare a client's tags with what there is now: strongly, so that weak ones never match.

    Raises:
        Problem: 412, the client knows another version.
    """
    if if_match is None or if_match.strip() == "*":
        return
    if not listed(if_match) & {tag_of(todo, media_type) for media_type in OFFERED}:
        raise Problem(412, "The todo was changed since you read it: GET it, and decide again.", "stale-tag")


def known(if_none_match: str | None, tag: str) -> bool:
    """Whether the client has this version already: compared weakly (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in {one.removeprefix("W/") for one in listed(if_none_match)}


async def sent_json(request: Request, *media_types: str) -> Any:
    """The body, as far as it can be written again.

    Raises:
        Problem: 415, it is of another type; 413, it is too long; 400, it is no JSON.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in media_types:
        field = "Accept-Patch" if request.method == "PATCH" else "Accept"
        headers = {field: ", ".join(media_types)}
        raise Problem(415, f"Send {' or '.join(media_types)}.", headers=headers)
    try:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                raise Problem(413, f"A body has at most {MAX_BODY} bytes.")
        value = json.loads(body)
        as_json(value).encode()  # NaN, a number without end, half a surrogate pair: not to be stored
        if _depth(value) > MAX_DEPTH:
            raise Problem(400, f"The body has more than {MAX_DEPTH} values inside each other.")
        return value
    except ClientDisconnect:
        raise Problem(400, "The body broke off.") from None  # nobody is left to read it
    except (ValueError, RecursionError) as fault:
        raise Problem(400, f"The body is no JSON: {fault}.") from None


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inside), default=0)


def valid(value: Any, todo_id: int) -> TodoDict:
    """A todo from what a client sent, with this id.

    Raises:
        Problem: 422, it is none.
    """
    try:
        new = NewTodo.model_validate(value)
    except ValidationError as error:
        refuse_invalid([(problem["loc"], problem["msg"]) for problem in error.errors(include_input=False)])
    return {**value, "id": todo_id, "task": new.task, "status": new.status}


def refuse_invalid(faults: Iterable[tuple[Iterable[object], str]]) -> NoReturn:
    """Say what is wrong, and where.

    Raises:
        Problem: 422.
    """
    errors = [{"detail": text, "pointer": "#/" + "/".join(map(str, place))} for place, text in faults]
    sentence = "; ".join(f"{error['pointer']}: {error['detail']}" for error in errors)
    raise Problem(422, sentence, "invalid-request", more={"errors": errors})


def merged(target: Any, patch: Any) -> Any:
    """A merge patch applied (RFC 7396, 2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


class Cursors:
    """Cursors that only their maker can make: where a page ended, signed."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, last_id: int) -> str:
        """The cursor behind this id."""
        position = str(last_id).encode()
        signature = hmac.digest(self._secret, position, "sha256")[:12].hex()
        return base64.urlsafe_b64encode(position + b"." + signature.encode()).decode().rstrip("=")

    def read(self, cursor: str) -> int:
        """The id that a cursor stands behind.

        Raises:
            Problem: 400, nobody here made it.
        """
        try:
            padded = cursor.encode() + b"=" * (-len(cursor) % 4)
            last_id = int(base64.urlsafe_b64decode(padded).partition(b".")[0])
        except ValueError:
            last_id = 0
        # As text: several texts may stand for the same bytes.
        if not hmac.compare_digest(self.make(last_id).encode(), cursor.encode()):
            raise Problem(400, "This service did not issue that cursor.", "unknown-cursor")
        return last_id


# The document


def answers(
    *statuses: int, done: Mapping[int, tuple[str, Collection[str]]], model: Any = Todo
) -> dict[int | str, dict[str, Any]]:
    """What an operation may answer, for its OpenAPI document.

    Args:
        statuses: of problems.
        done: of successes, each with what it means and its header fields.
        model: of a success's body.
    """
    described: dict[int | str, dict[str, Any]] = {}
    for status, (meaning, fields) in done.items():
        described[status] = {"description": meaning, "headers": {name: _FIELDS[name] for name in fields}}
        if status in (200, 201):
            described[status] |= {"model": model, "content": {XML: {}}}
    for status in (*statuses, 429):
        content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
        described[status] = {"description": HTTPStatus(status).phrase, "content": content}
    described[429]["headers"] = {"Retry-After": _FIELDS["Retry-After"]}
    return described


_FIELDS = {
    "ETag": {"description": "The version of what is answered", "schema": {"type": "string"}},
    "Link": {"description": 'The next page, rel="next", unless this is the last', "schema": {"type": "string"}},
    "Location": {"description": "Where the new todo is", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}},
}


def takes(model: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """What an operation takes as its body, for its OpenAPI document."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    content = {media_type: {"schema": schema} for media_type in media_types}
    return {"requestBody": {"required": True, "content": content}}


TodoId = Annotated[int, Path(ge=1)]
IfMatch = Annotated[str, Header(description="Only if the todo still has one of these tags")]
MaybeIfMatch = Annotated[str | None, Header(description="Only if the todo still has one of these tags")]
IfNoneMatch = Annotated[str | None, Header(description="304 if the answer still has one of these tags")]
ApiKey = Annotated[str | None, Header(description="Who calls; without it, the client's address")]
IdempotencyKey = Annotated[str | None, Header(description="Any text, a new one for each todo", max_length=255)]
Limit = Annotated[int, Query(ge=1, description=f"Todos on the page; above {MAX_LIMIT} means {MAX_LIMIT}")]
Cursor = Annotated[str | None, Query(description="From the link to the next page; not to be made by hand")]


def caller(request: Request, x_api_key: ApiKey = None) -> str:
    """Whose request this is, for limits and retries.

    Keys are taken on trust here: a new one each time is a new caller with a limit of its own. A real service knows
    the keys that it gave out, and counts all others by their address.
    """
    return f"key {x_api_key}" if x_api_key else f"address {request.client.host if request.client else ''}"


Caller = Annotated[str, Depends(caller)]


# The service


def create_app(*, burst: int = BURST, rate: float = RATE, secret: bytes | None = None) -> FastAPI:
    """Make a service of its own, with two samples in it.

    Args:
        burst: requests that a caller may make at once.
        rate: requests a second that a caller may make for ever.
        secret: what cursors are signed with; without it they are good until the service ends.
    """
    todos: dict[int, TodoDict] = {
        1: {"id": 1, "task": "Learn REST", "status": "Pending"},
        2: {"id": 2, "task": "Build an API", "status": "Done"},
    }
    ids = itertools.count(len(todos) + 1)
    buckets, cursors = Buckets(burst, rate), Cursors(secret or secrets.token_bytes(32))
    created: dict[tuple[str, str], tuple[str, TodoDict]] = {}  # by caller and key: what was sent, what it made

    async def admit(name: Caller) -> None:
        if wait := buckets.take(name):
            seconds = math.ceil(wait)
            raise Problem(
                429,
                f"At most {burst} requests at once and {rate:g} a second: wait {seconds} s.",
                "too-many-requests",
                {"Retry-After": str(seconds)},
            )

    app = FastAPI(title="Todos", version="1.0.0", redirect_slashes=False)
    app.router.dependencies.append(Depends(admit))
    app.add_middleware(HeadLikeGet)

    def find(todo_id: int) -> TodoDict:
        if todo_id not in todos:
            raise Problem(404, f"There is no todo {todo_id}.")
        return todos[todo_id]

    def accepted(request: Request) -> str:
        return chosen(",".join(request.headers.getlist("accept")))

    def shown(todo: TodoDict, media_type: str, status: int = 200, **fields: str) -> Response:
        headers = {"ETag": tag_of(todo, media_type), "Vary": "Accept", "Cache-Control": "no-cache", **fields}
        return Response(written(todo, media_type), status, headers, media_type)

    # One event loop runs every handler below: without an await, nothing comes between a look and a change.

    @app.get(
        "/v1/todos",
        response_class=Response,
        responses=answers(
            400,
            406,
            422,
            done={200: ("A page of todos", ("ETag", "Link")), 304: ("Nothing is new", ("ETag",))},
            model=list[Todo],
        ),
    )
    async def list_todos(
        request: Request, limit: Limit = PAGE, cursor: Cursor = None, if_none_match: IfNoneMatch = None
    ) -> Response:
        media_type, limit = accepted(request), min(limit, MAX_LIMIT)
        last_id = 0 if cursor is None else cursors.read(cursor)
        found = list(itertools.islice((todo for id, todo in todos.items() if id > last_id), limit + 1))
        page, link = found[:limit], ""
        if len(found) > limit:
            link = f'</v1/todos?limit={limit}&cursor={cursors.make(page[-1]["id"])}>; rel="next"'
        headers = {"ETag": tag_of(page, media_type, link), "Vary": "Accept", "Cache-Control": "no-cache"}
        headers |= {"Link": link} if link else {}
        if known(if_none_match, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(written(page, media_type), 200, headers, media_type)

    @app.post(
        "/v1/todos",
        status_code=201,
        response_class=Response,
        responses=answers(400, 406, 413, 415, 422, done={201: ("The todo was created", ("Location", "ETag"))}),
        openapi_extra=takes(NewTodo, JSON),
    )
    async def create_todo(request: Request, name: Caller, idempotency_key: IdempotencyKey = None) -> Response:
        media_type, value = accepted(request), await sent_json(request, JSON)
        sent = as_json(value)
        before, todo = created.get((name, idempotency_key or ""), (sent, None))
        if before != sent:
            raise Problem(422, "This Idempotency-Key came with another body before.", "key-reused")
        if todo is None:
            todo = valid(value, next(ids))
            todos[todo["id"]] = todo
            if idempotency_key:
                created[name, idempotency_key] = sent, todo
                if len(created) > KEYS_KEPT:
                    del created[next(iter(created))]
        return shown(todo, media_type, 201, Location=f"/v1/todos/{todo['id']}")

    @app.get(
        "/v1/todos/{todo_id}",
        response_class=Response,
        responses=answers(404, 406, 422, done={200: ("The todo", ("ETag",)), 304: ("Nothing is new", ("ETag",))}),
    )
    async def get_todo(request: Request, todo_id: TodoId, if_none_match: IfNoneMatch = None) -> Response:
        answer = shown(find(todo_id), accepted(request))
        if known(if_none_match, answer.headers["etag"]):
            fields = {name: answer.headers[name] for name in ("etag", "vary", "cache-control")}
            return Response(status_code=304, headers=fields)
        return answer

    @app.put(
        "/v1/todos/{todo_id}",
        response_class=Response,
        responses=answers(400, 404, 406, 412, 413, 415, 422, done={200: ("The todo as it is now", ("ETag",))}),
        openapi_extra=takes(NewTodo, JSON),
    )
    async def replace_todo(request: Request, todo_id: TodoId, if_match: MaybeIfMatch = None) -> Response:
        media_type, value = accepted(request), await sent_json(request, JSON)
        refuse_stale(if_match, find(todo_id))
        todos[todo_id] = valid(value, todo_id)
        return shown(todos[todo_id], media_type)

    @app.patch(
        "/v1/todos/{todo_id}",
        response_class=Response,
        responses=answers(
            400, 404, 406, 412, 413, 415, 422, 428, done={200: ("The todo as it is now", ("ETag",))}
        ),
        openapi_extra=takes(TodoPatch, MERGE_PATCH, JSON),
    )
    async def change_todo(request: Request, todo_id: TodoId, if_match: IfMatch) -> Response:
        media_type, patch = accepted(request), await sent_json(request, MERGE_PATCH, JSON)
        refuse_stale(if_match, find(todo_id))
        todos[todo_id] = valid(merged(find(todo_id), patch), todo_id)
        return shown(todos[todo_id], media_type)

    @app.delete(
        "/v1/todos/{todo_id}",
        status_code=204,
        response_class=Response,
        responses=answers(404, 412, 422, done={204: ("The todo is gone", ())}),
    )
    async def delete_todo(todo_id: TodoId, if_match: MaybeIfMatch = None) -> None:
        refuse_stale(if_match, find(todo_id))
        del todos[todo_id]

    @app.exception_handler(Problem)
    async def answer_problem(request: Request, problem: Problem) -> Response:
        return problem.response

    @app.exception_handler(HTTPException)
    async def answer_framework(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            # A framework names the methods of the first route at this path only.
            routes = [route for route in app.routes if route.matches(request.scope)[0] != Match.NONE]
            names = {name for route in routes for name in getattr(route, "methods", ())}
            headers["Allow"] = ", ".join(sorted(names | {"HEAD"} if "GET" in names else names))
        return Problem(error.status_code, str(error.detail), headers=headers).response

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        faults = error.errors()
        if any(fault["type"] == "missing" and fault["loc"] == ("header", "if-match") for fault in faults):
            sentence = "Send If-Match with the ETag of the version that you have changed."
            return Problem(428, sentence).response
        try:
            refuse_invalid([(fault["loc"], fault["msg"]) for fault in faults])
        except Problem as problem:
            return problem.response

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=__doc__, routes=app.routes)
            schemas = made["components"]["schemas"]
            for model in (NewTodo, TodoPatch, ProblemDetails):
                schemas[model.__name__] = model.model_json_schema()
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    return app


app = create_app()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve todos over HTTP, in their version 1.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    uvicorn.run(app, **vars(parser.parse_args()))
