"""The article's price stream with its faults repaired: same messages, and one price for all.

    python -m wirelab.apps.prices_mended
    python -m websockets ws://localhost:8765      then type  {"token": "workshop", "symbol": "ACME"}

All subscribers of a symbol see the same prices at the same time, though no connection knows of another: a
price is drawn from the symbol and the time. So a client that is slow or gone holds up nobody, and leaves
nothing behind. (A real price cannot be computed; it has to be fanned out.)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import itertools
import json
import logging
import math
import random
import secrets
import sys

from pydantic import BaseModel, Field, ValidationError
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

TOKEN = "workshop"
INTERVAL = 3.0  # seconds
DEADLINE = 10.0  # seconds
MAX_MESSAGE = 4096  # bytes

log = logging.getLogger(__name__)
seed = secrets.token_hex()


class Subscription(BaseModel):
    """The first message of a client."""

    token: str
    symbol: str = Field(min_length=1, max_length=64)


async def price_stream(
    websocket: ServerConnection, *, interval: float = INTERVAL, deadline: float = DEADLINE
) -> None:
    """Read a subscription, `{"token", "symbol"}`, then send `{"symbol", "price"}` until the client leaves.

    Args:
        websocket: the connection, from `websockets.asyncio.server.serve`.
        interval: seconds between two prices, more than 0.
        deadline: seconds that a client has to subscribe.
    """
    with contextlib.suppress(ConnectionClosed):
        try:
            symbol = await receive_subscription(websocket, deadline)
        except ValueError as problem:
            await websocket.send(json.dumps({"error": str(problem)}))
            await websocket.close(CloseCode.POLICY_VIOLATION)
            return
        log.info("A client subscribed to %s", symbol)
        now = asyncio.get_running_loop().time()
        for tick in itertools.count(math.ceil(now / interval)):
            await ignore_messages(websocket, until=tick * interval)
            await websocket.send(json.dumps({"symbol": symbol, "price": price(symbol, tick)}))
    log.info("A client left")


async def receive_subscription(websocket: ServerConnection, deadline: float) -> str:
    """Return the symbol that a client subscribes to.

    Raises:
        ValueError: the client may not have it; the text says why, for the client to read.
    """
    try:
        async with asyncio.timeout(deadline):
            message = await websocket.recv()
        if not isinstance(message, str):
            raise ValueError("Send text, not binary data")
        subscription = Subscription.model_validate_json(message)
    except TimeoutError:
        raise ValueError(f"No subscription within {deadline:g} seconds") from None
    except ValidationError:
        raise ValueError("The first message has to be a JSON object with a token and a symbol") from None
    # Takes equally long wherever the difference is: time must not tell how much of a guess was right.
    if not secrets.compare_digest(subscription.token.encode(), TOKEN.encode()):
        raise ValueError("Invalid token")
    return subscription.symbol


async def ignore_messages(websocket: ServerConnection, until: float) -> None:
    """Read what a client sends until the event loop's clock shows `until`, in seconds.

    Unread, they would fill the connection's queue, and answers to keepalive pings would wait behind them.

    Raises:
        ConnectionClosed: the client left.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while True:
                await websocket.recv()


def price(symbol: str, tick: int) -> float:
    """Draw a symbol's price in one interval, the same however often it is asked for."""
    return round(random.Random(f"{seed} {symbol} {tick}").uniform(95, 105), 2)


async def main() -> None:
    """Serve prices until interrupted."""
    parser = argparse.ArgumentParser(description="Stream made-up prices over WebSocket.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--interval", type=float, default=INTERVAL, help="seconds between two prices")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    handler = functools.partial(price_stream, interval=options.interval)
    async with serve(handler, options.host, options.port, max_size=MAX_MESSAGE) as server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    except OSError as no_port:
        sys.exit(str(no_port))
