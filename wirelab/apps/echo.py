"""A server that sends back what it gets, over HTTP and over WebSocket: there is little else to wait for.

What passes between question and answer is the protocols' and the network's. Two more paths are slow on purpose::

    GET /echo?message=TEXT        the text
    WebSocket /echo               each text message, sent back
    GET /report?work=S&size=N     N bytes, after S seconds of work; other requests are answered meanwhile
    GET /freeze?seconds=S         one byte, after S seconds in which nobody gets an answer

Each answer over HTTP says in its ``Server-Timing`` header (a draft of the W3C) how many milliseconds the
application took. From a shell: ``python -m wirelab.apps.echo``.
"""

from __future__ import annotations

import argparse
import asyncio
import time

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


async def echo(request: Request) -> Response:
    """Send the message back."""
    started = time.perf_counter()
    return timed(PlainTextResponse(request.query_params.get("message", "")), started)


async def echo_messages(websocket: WebSocket) -> None:
    """Send each message back until the client leaves."""
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message)


async def report(request: Request) -> Response:
    """Answer late, as if a database had been asked, and with as much as is wanted."""
    started = time.perf_counter()
    await asyncio.sleep(float(request.query_params.get("work", 0)))
    return timed(Response(bytes(int(request.query_params.get("size", 1)))), started)


async def freeze(request: Request) -> Response:
    """Block the event loop, as a library that knows nothing of it would."""
    started = time.perf_counter()
    time.sleep(float(request.query_params.get("seconds", 0)))  # noqa: ASYNC251 - this is the fault on show.
    return timed(Response(b"."), started)


def timed(answer: Response, started: float) -> Response:
    """Tell in an answer how long it took to make, from `started` in `perf_counter` seconds."""
    answer.headers["Server-Timing"] = f"app;dur={1000 * (time.perf_counter() - started):.3f}"
    return answer


app = Starlette(
    routes=[
        Route("/echo", echo),
        WebSocketRoute("/echo", echo_messages),
        Route("/report", report),
        Route("/freeze", freeze),
    ]
)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Send back what comes, over HTTP and WebSocket.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    uvicorn.run(app, host=options.host, port=options.port)


if __name__ == "__main__":
    main()
