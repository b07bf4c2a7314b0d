"""A hall: everybody who is in it hears whatever anybody says.

    python -m wirelab.apps.hall --port 8766
    python -m websockets ws://127.0.0.1:8766      # in two other shells

Who is in the hall stands in this process's memory, and nowhere else: two of these are two halls.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

members: set[ServerConnection] = set()


async def hall(websocket: ServerConnection) -> None:
    """Let somebody in, and pass on what they say, to themselves too."""
    members.add(websocket)
    try:
        with contextlib.suppress(ConnectionClosed):
            async for message in websocket:
                broadcast(members, message)
    finally:
        members.discard(websocket)


async def main(port: int) -> None:
    """Serve until interrupted."""
    async with serve(hall, "127.0.0.1", port) as server:
        print(f"The hall is at ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Everybody hears what anybody says.")
    parser.add_argument("--port", type=int, default=8766)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args().port))
