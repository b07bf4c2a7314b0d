"""HTTP, HTTPS and WebSocket echo on one host: ``truth_server.py HOST CERTIFICATE``; prints its base URLs as JSON.

Ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import threading

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from wirelab._engines import UVICORN_DEFAULTS


async def body(request: Request) -> Response:
    """As many bytes as the path says."""
    if request.method == "POST":
        return Response(str(len(await request.body())))
    return Response(bytes(int(request.path_params["size"])))


async def echo(connection: ServerConnection) -> None:
    """Send every message back."""
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


APP = Starlette(routes=[Route("/{size:int}", body, methods=["GET", "POST"])])


def bound(host: str) -> socket.socket:
    """A socket on a free port."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind((host, 0))
    return sock


async def main(host: str, certificate: str) -> None:
    """Serve."""
    plain, secure = bound(host), bound(host)
    servers = [
        (uvicorn.Server(uvicorn.Config(APP, **UVICORN_DEFAULTS)), plain),
        (uvicorn.Server(uvicorn.Config(APP, **UVICORN_DEFAULTS, ssl_certfile=certificate)), secure),
    ]
    async with serve(echo, host, 0, compression=None) as websocket:
        running = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in servers]
        while not all(server.started for server, _ in servers):  # noqa: ASYNC110 (uvicorn does not say when)
            await asyncio.sleep(0.01)
        ports = [sock.getsockname()[1] for sock in (plain, secure, next(iter(websocket.sockets)))]
        schemes = ("http", "https", "ws")
        print(
            json.dumps([f"{scheme}://{host}:{port}" for scheme, port in zip(schemes, ports, strict=True)]),
            flush=True,
        )
        await asyncio.wait(running)


def end_with_input() -> None:
    """End this process when its standard input does."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_input, daemon=True).start()
    asyncio.run(main(*sys.argv[1:]))
