"""The article's price client: subscribes to a symbol and prints each price.

    python -m wirelab.apps.price_client ACME

In a notebook: ``await follow("ACME", server.ws, limit=3)``. When the connection breaks it does not come back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidURI, WebSocketException

URI = "ws://localhost:8765"
TOKEN = "workshop"


async def follow(symbol: str, uri: str = URI, *, token: str = TOKEN, limit: int | None = None) -> bool:
    """Print each price of a symbol, until the server ends the stream or `limit` prices came.

    Returns:
        False when the server sent an error, which is printed too.

    Raises:
        OSError, websockets.exceptions.WebSocketException: no price stream there, or the connection broke.
    """
    # A proxy that the system is set to use could not reach a server on this machine.
    async with connect(uri, proxy=None) as websocket:
        await websocket.send(json.dumps({"token": token, "symbol": symbol}))
        count = 0
        async for message in websocket:
            update = json.loads(message)
            if "error" in update:
                print("Error:", update["error"])
                return False
            print(f"{update['symbol']}: {update['price']:.2f}", flush=True)
            count += 1
            if count == limit:
                break
    return True


def main() -> int:
    """Follow a symbol from a shell; return the exit status."""
    parser = argparse.ArgumentParser(description="Print the prices of a symbol.")
    parser.add_argument("symbol", nargs="?", help="asked for when left out")
    parser.add_argument("--uri", default=URI)
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--limit", type=int, help="stop after this many prices")
    options = parser.parse_args()
    try:
        symbol = options.symbol or input("Symbol: ")
        accepted = asyncio.run(follow(symbol, options.uri, token=options.token, limit=options.limit))
    except EOFError:
        parser.error("name a symbol")
    except KeyboardInterrupt:
        return 0
    except InvalidURI:
        print(f"{options.uri!r} is no address of a price stream: write ws:// before it.", file=sys.stderr)
    except ConnectionClosedError as broken:
        print(f"The connection broke: {broken}.", file=sys.stderr)
    except (OSError, WebSocketException):
        print(f"No price stream answers at {options.uri}: is it running?", file=sys.stderr)
    else:
        return 0 if accepted else 1
    return 1


if __name__ == "__main__":
    sys.exit(main())
