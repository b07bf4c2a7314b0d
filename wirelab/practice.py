"""Put a REST service to use as strangers do: try it on the standard, walk its pages, write all at once, flood it.

Everything talks to the service over the wire and knows no more of it than its address and HTTP.
"""

from __future__ import annotations

import http.client
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from .serving import serve

T = TypeVar("T")

# Seconds without an answer after which a request is given up.
SILENCE = 10.0

# As RFC 9110 asks; allowed, and telling the client less than it could; against what it asks.
Judgement = Literal["as asked", "poorer", "against"]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_WRITES = ("POST", "PUT", "PATCH")
_TODO = {"task": "Water the fern"}
_CLIENT_ERROR = frozenset(range(400, 429)) - {405}
_UNKNOWN_ID = 987_654_321


class Reply(NamedTuple):
    """What a service answered in one situation.

    Attributes:
        situation: in words.
        method: of the request.
        status: that came back.
        judgement: what RFC 9110 says to it.
        media_type: of the body; empty if there was none.
    """

    situation: str
    method: str
    status: int
    judgement: Judgement
    media_type: str


@contextmanager
def direct_session() -> Iterator[requests.Session]:
    """Yield a session that takes no proxy from the environment, which would be asked for 127.0.0.1 too."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


# The standard


def status_matrix(todos: str) -> list[Reply]:
    """Bring a todo service into eleven situations, and judge its status codes by RFC 9110.

    Every todo that it holds is deleted on the way.

    Args:
        todos: address of the collection, such as ``http://127.0.0.1:5000/todos``.
    """
    with direct_session() as session:
        return list(_tried(todos, session))


def _tried(todos: str, session: requests.Session) -> Iterator[Reply]:
    def ask(method: str, url: str, **options: Any) -> requests.Response:
        if method in _WRITES and not {"json", "data"} & options.keys():
            options["json"] = _TODO
        if method == "PATCH" and "If-Match" not in options.get("headers", {}) and url.startswith(f"{todos}/"):
            tag = session.get(url, timeout=SILENCE).headers.get("ETag", "*")
            options["headers"] = {**options.get("headers", {}), "If-Match": tag}
        return session.request(method, url, timeout=SILENCE, **options)

    def one() -> str:
        return f"{todos}/{ask('POST', todos).json()['id']}"

    def place(method: str) -> str:
        return todos if method == "POST" else one()

    def reply(situation: str, answer: requests.Response, asked: Iterable[int], allowed: Iterable[int]) -> Reply:
        judgement: Judgement = "against"
        if answer.status_code in {*asked}:
            judgement = "as asked"
        elif answer.status_code in {*allowed}:
            judgement = "poorer"
        media_type = answer.headers.get("Content-Type", "").partition(";")[0] if answer.content else ""
        return Reply(situation, answer.request.method or "", answer.status_code, judgement, media_type)

    # A method beyond GET and HEAD need not be there (9.1).
    absent = {405, 501}

    situation = "all is well"
    # DELETE may say what it did, or nothing (9.3.5).
    fine = {"GET": {200}, "HEAD": {200}, "PUT": {200, 204}, "PATCH": {200, 204}, "DELETE": {200, 202, 204}}
    for method, asked in fine.items():
        yield reply(situation, ask(method, one()), asked, absent if method == "PATCH" else ())
    # 201 should say where the new thing is (9.3.3).
    created = ask("POST", todos)
    yield reply(situation, created, {201} if "Location" in created.headers else (), {200, 201})

    for method in ("GET", "PUT", "PATCH", "DELETE"):
        gone = ask(method, f"{todos}/{_UNKNOWN_ID}")
        yield reply("unknown id", gone, {404, 410}, absent if method == "PATCH" else ())
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        word = ask(method, f"{todos}/first")
        yield reply("a word for an id", word, {400, 404, 422}, absent if method == "PATCH" else ())

    json = {"Content-Type": "application/json"}
    for method in _WRITES:
        allowed = _CLIENT_ERROR | (absent if method == "PATCH" else set())
        # Malformed is 400 (15.5.1); 422 is for what can be read (15.5.21).
        yield reply("broken JSON", ask(method, place(method), data='{"task": ', headers=json), {400}, allowed)
        wrong = ask(method, place(method), json={"task": ["no", "text"]})
        yield reply("a task that is no text", wrong, {400, 422}, allowed)
        text = ask(method, place(method), data="Water the fern", headers={"Content-Type": "text/plain"})
        yield reply("plain text as body", text, {415}, allowed)

    # Whoever cannot serve what is accepted may serve what it has (12.4.1).
    yield reply("only a PNG accepted", ask("GET", one(), headers={"Accept": "image/png"}), {406}, {200})

    known = one()
    tag = session.get(known, timeout=SILENCE).headers.get("ETag", '"no tag"')
    yield reply("tag known", ask("GET", known, headers={"If-None-Match": tag}), {304}, {200})
    for method in ("PUT", "PATCH", "DELETE"):
        # The method must not be performed (13.1.1).
        stale = ask(method, one(), headers={"If-Match": '"of long ago"'})
        yield reply("tag stale", stale, {412}, absent if method == "PATCH" else ())

    for method in ("PUT", "PATCH", "DELETE"):
        refused = ask(method, todos)
        # Allow must name what there is (15.5.6).
        there = {name.strip() for name in refused.headers.get("Allow", "").split(",")}
        yield reply("not for a collection", refused, {405} if there >= {"GET", "POST"} else (), ())

    empty(todos, session)
    yield reply("nothing left", ask("GET", todos), {200}, {204})
    yield reply("nothing left", ask("POST", todos), {201}, {200})


def empty(todos: str, session: requests.Session) -> None:
    """Delete every todo of a collection, page by page."""
    while left := session.get(todos, timeout=SILENCE).json():
        for todo in left:
            session.delete(f"{todos}/{todo['id']}", timeout=SILENCE).raise_for_status()


# Programs of strangers


def crawl(base: str) -> int:
    """Follow every GET that a service's OpenAPI document names, as a search engine or a link checker does.

    Args:
        base: the service's base URL.

    Returns:
        How many requests that made; an id in a path is tried as 1 and as 2.
    """
    with direct_session() as session:
        paths = session.get(f"{base}/openapi.json", timeout=SILENCE).json()["paths"]
        links = {
            base + re.sub(r"\{\w+\}", number, path) for path in paths for number in "12" if "get" in paths[path]
        }
        for link in sorted(links):
            session.get(link, timeout=SILENCE)
        return len(links)


def create_read_update_delete(todos: str) -> list[int]:
    """Take a todo through its life, at the address that the service gave it, and return the status codes."""
    with direct_session() as session:
        created = session.post(todos, json=_TODO, timeout=SILENCE)
        url, tag = urljoin(todos, created.headers["Location"]), created.headers["ETag"]
        read = session.get(url, timeout=SILENCE)
        changed = session.patch(url, json={"status": "Done"}, headers={"If-Match": tag}, timeout=SILENCE)
        deleted = session.delete(url, timeout=SILENCE)
        return [answer.status_code for answer in (created, read, changed, deleted)]


def fill(todos: str, count: int) -> None:
    """Create todos until there are `count`, in a collection that answers all of them in one page."""
    with direct_session() as session:
        there = len(session.get(todos, timeout=SILENCE).json())
        for number in range(there + 1, count + 1):
            session.post(todos, json={"task": f"Water plant {number}"}, timeout=SILENCE).raise_for_status()


def old_clients_on(
    changes: Mapping[str, Mapping[str, object]], path: str, clients: Mapping[str, Callable[[Any], bool]]
) -> dict[str, dict[str, bool]]:
    """Let the clients of yesterday read from servers of today.

    Args:
        changes: what each server answers, JSON by path, by the name of what was changed in it.
        path: what the clients ask for; they know no other.
        clients: for each, whether it can use an answer.

    Returns:
        Whether each client works with each server: by client, then by change.
    """

    def answers(bodies: Mapping[str, object]) -> Starlette:
        return Starlette(
            routes=[Route(each, lambda request: JSONResponse(bodies[request.url.path])) for each in bodies]
        )

    found: dict[str, dict[str, bool]] = {name: {} for name in clients}
    with direct_session() as session:
        for change, bodies in changes.items():
            with serve(answers(bodies), name="changed server") as server:
                answer = session.get(server.http + path, timeout=SILENCE)
            for name, works in clients.items():
                found[name][change] = works(answer.json())
    return found


# Pages


def walk(url: str, between: Callable[[], object] = lambda: None) -> list[list[int]]:
    """Follow ``Link: <…>; rel="next"`` (RFC 8288) from page to page.

    Args:
        url: of the first page, an array of objects that have an ``id``.
        between: called after each page that is not the last.

    Returns:
        The ids on each page.
    """
    pages = []
    with direct_session() as session:
        while True:
            answer = session.get(url, timeout=SILENCE)
            answer.raise_for_status()
            pages.append([item["id"] for item in answer.json()])
            if "next" not in answer.links:
                return pages
            url = urljoin(url, answer.links["next"]["url"])
            between()


class Errors(NamedTuple):
    """What a walk did wrong.

    Attributes:
        missing: how many of the items that were there throughout were on no page.
        doubled: how many items were on more than one page.
    """

    missing: int
    doubled: int


def errors_of(pages: Iterable[Iterable[int]], throughout: Iterable[int]) -> Errors:
    """Hold the ids on the pages of a walk against those that were there from its beginning to its end."""
    seen = list(itertools.chain.from_iterable(pages))
    return Errors(len(set(throughout) - set(seen)), len(seen) - len(set(seen)))


# Caches


class Reads(NamedTuple):
    """What a number of reads took.

    Attributes:
        total: how many there were.
        requests: how many of them asked the server.
        bytes: over the wire, in both directions.
        stale: how many gave something that was no longer true.
    """

    total: int
    requests: int
    bytes: int
    stale: int


# Writers


def all_at_once(work: Callable[[requests.Session], T], workers: int) -> list[T]:
    """Run `work` in so many threads at the same moment, each with a session of its own.

    Returns:
        What each of them returned.

    Raises:
        Exception: what one of them raised.
    """
    line = threading.Barrier(workers)

    def run() -> T:
        with direct_session() as session:
            line.wait(SILENCE)
            return work(session)

    with ThreadPoolExecutor(workers, thread_name_prefix="wirelab writer") as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(workers)]]


# Floods


class Caller(NamedTuple):
    """Somebody who sends GETs.

    Attributes:
        connections: on how many connections at once.
        every: seconds from one request of a connection to its next one, if the answer is there by then.
    """

    connections: int
    every: float


class Call(NamedTuple):
    """One request of a flood.

    Attributes:
        left: seconds from the beginning to the request.
        took: seconds from the request to the end of its answer.
        status: of the answer.
    """

    left: float
    took: float
    status: int


def flood(url: str, callers: Mapping[str, Caller], seconds: float) -> dict[str, list[Call]]:
    """Let several callers send GETs for a while, each with its name as ``X-API-Key``.

    Nobody takes a 429 for an order: whoever floods does not.

    Returns:
        The calls of each caller, in the order in which they left.

    Raises:
        OSError, http.client.HTTPException: a connection broke.
    """
    address = urlsplit(url)
    connections = [(name, caller) for name, caller in callers.items() for _ in range(caller.connections)]
    line = threading.Barrier(len(connections))

    def call_on(name: str, caller: Caller) -> list[Call]:
        connection = http.client.HTTPConnection(address.netloc, timeout=SILENCE)
        line.wait(SILENCE)
        start, calls = time.perf_counter(), list[Call]()
        try:
            while (left := time.perf_counter() - start) < seconds:
                connection.request("GET", address.path, headers={"X-API-Key": name})
                answer = connection.getresponse()
                answer.read()
                took = time.perf_counter() - start - left
                calls.append(Call(left, took, answer.status))
                time.sleep(max(0.0, caller.every - took))
        finally:
            connection.close()
        return calls

    with ThreadPoolExecutor(len(connections), thread_name_prefix="wirelab flood") as pool:
        running = [(name, pool.submit(call_on, name, caller)) for name, caller in connections]
        made: dict[str, list[Call]] = {name: [] for name in callers}
        for name, future in running:
            made[name] += future.result()
    return {name: sorted(calls) for name, calls in made.items()}
