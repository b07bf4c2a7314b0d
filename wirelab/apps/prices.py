"""The article's price stream: a WebSocket server that sends its subscriber a price every 3 seconds.

    python -m wirelab.apps.prices
    python -m websockets ws://localhost:8765      then type  {"token": "workshop", "symbol": "ACME"}

It keeps the article's faults, which lesson 02 finds by experiment; `prices_mended` has them repaired.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import logging
import random
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

TOKEN = "workshop"
INTERVAL = 3.0  # seconds

log = logging.getLogger(__name__)


async def price_stream(websocket: ServerConnection, *, interval: float = INTERVAL) -> None:
    """Read a subscription, `{"token", "symbol"}`, then send `{"symbol", "price"}` until the client leaves.

    Args:
        websocket: the connection, from `websockets.asyncio.server.serve`.
        interval: seconds between two prices; for a quicker handler, `functools.partial` sets another.
    """
    try:
        subscription = json.loads(await websocket.recv())
        symbol = subscription.get("symbol")
        if subscription.get("token") != TOKEN or not symbol:
            await websocket.send(json.dumps({"error": "Invalid token or missing symbol"}))
            await websocket.close()
            return
        log.info("A client subscribed to %s", symbol)
        while True:
            price = round(random.uniform(95, 105), 2)
            await websocket.send(json.dumps({"symbol": symbol, "price": price}))
            await asyncio.sleep(interval)
    except ConnectionClosed:
        log.info("A client left")


async def main() -> None:
    """Serve prices until interrupted."""
    parser = argparse.ArgumentParser(description="Stream made-up prices over WebSocket.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--interval", type=float, default=INTERVAL, help="seconds between two prices")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    handler = functools.partial(price_stream, interval=options.interval)
    async with serve(handler, options.host, options.port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    except OSError as no_port:
        sys.exit(str(no_port))
