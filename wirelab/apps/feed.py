"""A feed of updates that can be asked for, waited for or listened to.

Each update is ``{"seq", "value", "emitted_at"}``; `emitted_at` is this machine's `time.perf_counter` in seconds,
so that a client on the same machine can tell how old an update is when it arrives. Five ways to follow it::

    GET /latest                     the newest update, with an ETag; 304 if If-None-Match names it
    GET /updates?after=SEQ          every update after SEQ, as a JSON array
    GET /updates?after=SEQ&wait=S   the same, but waits up to S seconds for the first one (long polling)
    GET /events?after=SEQ           server-sent events; understands Last-Event-ID
    WebSocket /stream?after=SEQ     one text message for each update

It emits once a second until ``PUT /schedule`` tells it otherwise; ``GET /status`` says how far it is and what it
has cost. From a shell: ``python -m wirelab.apps.feed --every 1``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import os
import random
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NamedTuple

import uvicorn
from fastapi import FastAPI, Header, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import BaseModel

# Updates that stay available to a client that asks late.
HISTORY = 100_000
# Seconds that one long poll may wait.
LONGEST_WAIT = 30.0


class Update(NamedTuple):
    """One update, encoded once for however many clients."""

    seq: int
    text: str


class Feed:
    """The updates so far, their source, and a bell that rings with each new one.

    The source is a thread: an event loop's own timers go off up to a millisecond late, which is longer than an
    update takes to reach a listener. `emitted_at` is the moment for which an update was planned, so that a server
    too busy to make it in time shows in its age.
    """

    def __init__(self) -> None:
        self.seq = 0
        self._value = 100.0
        self._updates: list[Update] = []
        self._plan: Iterator[float] = iter(())
        self._next = math.inf
        self._making = threading.Lock()
        self._changed_plan = threading.Event()
        self._source: threading.Thread | None = None
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()

    def follow(self, start: float, offsets: Iterable[float]) -> None:
        """Emit at `start` + each of `offsets`, in `perf_counter` seconds; drop what was planned before."""
        self.stop()
        self._plan = (start + offset for offset in offsets)
        self._next = next(self._plan, math.inf)
        self._changed_plan.clear()
        self._source = threading.Thread(target=self._emit_on_time, name="feed's source", daemon=True)
        self._source.start()

    def stop(self) -> None:
        """Emit no more."""
        self._changed_plan.set()
        if self._source:
            self._source.join()

    def after(self, seq: int) -> list[Update]:
        """Return the updates later than `seq`, oldest first."""
        self._catch_up()
        newer = min(max(self.seq - seq, 0), len(self._updates))
        return self._updates[len(self._updates) - newer :]

    def latest(self) -> Update:
        """Return the newest update."""
        self._catch_up()
        return self._updates[-1]

    async def next_after(self, seq: int) -> list[Update]:
        """Return the updates later than `seq` as soon as there is one."""
        while not (updates := self.after(seq)):
            await self._bell.wait()
        return updates

    async def from_now_on(self, seq: int) -> AsyncIterator[Update]:
        """Yield every update later than `seq`, without end."""
        while True:
            for update in await self.next_after(seq):
                yield update
                seq = update.seq

    def _emit_on_time(self) -> None:
        while (due := self._next) < math.inf and not self._changed_plan.wait(due - time.perf_counter()):
            if self._emit_what_is_due():
                self._loop.call_soon_threadsafe(self._ring)

    def _catch_up(self) -> None:
        # What fell due while the event loop was busy with this very request is there to be seen all the same.
        if self._emit_what_is_due():
            self._ring()

    def _emit_what_is_due(self) -> bool:
        with self._making:
            before = self.seq
            while self._next <= time.perf_counter():
                self._emit(self._next)
                self._next = next(self._plan, math.inf)
            return self.seq > before

    def _emit(self, due: float) -> None:
        self.seq += 1
        self._value = round(self._value + random.uniform(-0.5, 0.5), 2)
        update = {"seq": self.seq, "value": self._value, "emitted_at": due}
        self._updates.append(Update(self.seq, json.dumps(update, separators=(",", ":"))))
        if len(self._updates) > 2 * HISTORY:
            del self._updates[:HISTORY]

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()


class Schedule(BaseModel):
    """When to emit: at `start` (`perf_counter` seconds, default now) + each of `offsets`, in ascending order."""

    start: float | None = None
    offsets: list[float]


def create_app(every: float = 1.0) -> FastAPI:
    """Make a feed that emits at once and then `every` so many seconds, until it gets a schedule."""
    feed: Feed

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Made anew each time: its bell belongs to one event loop, and an application may be served again.
        nonlocal feed
        feed = Feed()
        feed.follow(time.perf_counter(), itertools.count(0.0, every))
        yield
        feed.stop()

    app = FastAPI(title="Feed", lifespan=lifespan)
    app.exception_handler(RequestValidationError)(refuse)

    @app.get("/latest")
    async def latest(if_none_match: Annotated[str | None, Header()] = None) -> Response:
        update = feed.latest()
        headers = {"ETag": f'"{update.seq}"', "Cache-Control": "no-cache"}
        if headers["ETag"] in (if_none_match or ""):
            return Response(status_code=304, headers=headers)
        return Response(update.text, media_type="application/json", headers=headers)

    @app.get("/updates")
    async def updates(
        request: Request, after: int = 0, wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 0.0
    ) -> Response:
        if wait and not feed.after(after):
            await first_of(feed.next_after(after), client_left(request), within=wait)
        body = ",".join(update.text for update in feed.after(after))
        return Response(f"[{body}]", media_type="application/json")

    @app.get("/events")
    async def events(
        after: int | None = None, last_event_id: Annotated[int | None, Header()] = None
    ) -> EventSourceResponse:
        seen = next((seq for seq in (last_event_id, after) if seq is not None), feed.latest().seq)

        async def stream() -> AsyncIterator[bytes]:
            async for update in feed.from_now_on(seen):
                yield format_sse_event(data_str=update.text, id=str(update.seq))

        # Yielding from the endpoint itself is shorter, but then a client that leaves just when an event is sent
        # makes FastAPI 0.165 raise BrokenResourceError (its discussion 15725).
        return EventSourceResponse(stream(), headers={"Cache-Control": "no-cache"})

    @app.websocket("/stream")
    async def stream(websocket: WebSocket, after: int | None = None) -> None:
        seen = feed.latest().seq if after is None else after

        async def push() -> None:
            async for update in feed.from_now_on(seen):
                await websocket.send_text(update.text)

        await websocket.accept()
        await first_of(push(), client_left(websocket))

    @app.put("/schedule")
    async def schedule(plan: Schedule) -> dict[str, int]:
        feed.stop()  # so that nothing of the old plan comes after the number below
        before = feed.seq
        feed.follow(time.perf_counter() if plan.start is None else plan.start, plan.offsets)
        return {"first": before + 1, "last": before + len(plan.offsets)}

    @app.get("/status")
    async def status() -> dict[str, int | float]:
        return {"seq": feed.latest().seq, "pid": os.getpid(), "cpu_seconds": time.process_time()}

    return app


async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong with a request, without its input.

    FastAPI's own answer repeats that, and fails where it cannot be written as JSON: NaN, half a surrogate pair.
    """
    faults = [{key: fault[key] for key in ("type", "loc", "msg")} for fault in error.errors()]
    return JSONResponse({"detail": faults}, 422)


async def client_left(connection: Request | WebSocket) -> None:
    """Return when the client has closed the connection; what it sends until then is dropped."""
    receive = connection.receive
    while not (await receive())["type"].endswith(".disconnect"):
        pass


async def first_of(*work: Coroutine[Any, Any, Any], within: float | None = None) -> None:
    """Run several things at once until one has ended or `within` seconds have passed; end the rest."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        # A client that leaves while something is sent to it is no fault.
        if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
            raise outcome


app = create_app()


def main() -> None:
    """Serve a feed that emits on its own, from a shell."""
    parser = argparse.ArgumentParser(description="A feed of updates to poll or to listen to.")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two updates")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    uvicorn.run(create_app(options.every), host="127.0.0.1", port=options.port)


if __name__ == "__main__":
    main()
