"""A client that stays connected: it comes back by itself, and its caller sees each update once, in order.

    python -m wirelab.apps.reliable_client ACME INIT

    async for message in stay_connected(uri, token, ["ACME", "INIT"]): ...

It speaks the protocol of `reliable_feed`, which stands in that file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import CloseCode

URI = "ws://localhost:8765"
TOKEN = "workshop"
# Seconds: the upper bound of the first pause, of the longest one, and how long a connection has to last for the
# pauses to begin anew.
FIRST_DELAY, MAX_DELAY, GOOD_SPELL = 0.5, 30.0, 5.0
# Seconds between two pings, for the answer to one, and for everything else that the other side should do at once.
HEARTBEAT = 5.0
# Of the statuses 400 to 499, these may be others soon: too slow, too early, too many (RFC 9110, 8470, 6585).
MENDS = (408, 425, 429)


def delay(failures: int, first: float = FIRST_DELAY, longest: float = MAX_DELAY) -> float:
    """Draw the pause (seconds) after so many failures in a row, 1 and more.

    It is drawn from zero to a bound that doubles each time ("full jitter"): clients that were cut off together do
    not come back together.
    """
    # From some exponent on, a float no longer holds the power.
    return random.uniform(0, min(longest, first * 2.0 ** min(failures - 1, 60)))


async def stay_connected(
    uri: str,
    token: str,
    symbols: Iterable[str],
    *,
    first_delay: float = FIRST_DELAY,
    max_delay: float = MAX_DELAY,
    good_spell: float = GOOD_SPELL,
    heartbeat: float = HEARTBEAT,
    away: Callable[[], None] = lambda: None,
) -> AsyncIterator[dict[str, Any]]:
    """Yield every update of some symbols, each once and in order, whatever happens to the connection.

    Args:
        uri: address of the feed.
        token: what it is greeted with.
        symbols: what to subscribe to.
        first_delay: seconds, the upper bound of the first pause before coming back.
        max_delay: seconds, the upper bound of every pause.
        good_spell: seconds that a connection has to last for the pauses to begin anew.
        heartbeat: seconds between two pings, and for the answer to one.
        away: called when there is no connection, or no longer; once until something is heard again.

    Yields:
        Each update as it was sent; and, where some are lost for good,
        ``{"type": "gap", "symbol": …, "after": A, "seq": B}``: the last one was A, the next one will be B + 1.

    Raises:
        PermissionError: the feed refuses this client (close code 1008, or a status of 400 to 499).
        ValueError: the feed does not understand what is asked for, an unknown symbol for example; or `uri` is no
            address of a WebSocket.
    """
    clock = asyncio.get_running_loop().time
    seen: dict[str, int | None] = dict.fromkeys(symbols)
    failures, is_away = 0, False
    while True:
        began = clock()
        refusal, welcome = "", False
        try:
            async with connect(
                uri,
                proxy=None,
                compression=None,
                open_timeout=2 * heartbeat,
                ping_interval=heartbeat,
                ping_timeout=heartbeat,
                close_timeout=heartbeat,
            ) as websocket:
                await websocket.send(json.dumps({"type": "hello", "token": token}))
                for symbol, seq in seen.items():
                    await websocket.send(json.dumps(subscription(symbol, seq)))
                async for text in websocket:
                    message = json.loads(text)
                    is_away = False
                    refusal = str(message.get("error", ""))
                    # Who is not let in is told by the close code, which comes next.
                    if refusal and welcome:
                        raise ValueError(refusal)
                    welcome = welcome or message.get("type") == "welcome"
                    for news in take(message, seen):
                        yield news
        except (OSError, TimeoutError, WebSocketException) as end:
            if isinstance(end, ConnectionClosed) and end.rcvd and end.rcvd.code == CloseCode.POLICY_VIOLATION:
                raise PermissionError(refusal or end.rcvd.reason or "refused") from None
            if isinstance(end, InvalidStatus) and for_good(end.response.status_code):
                raise PermissionError(f"{uri} answers with {end.response.status_code}: is it a feed?") from None
            if isinstance(end, InvalidURI):
                raise ValueError(f"{uri!r} is no address of a feed: it begins with ws:// or wss://") from None
        if not is_away:
            is_away = True
            away()
        failures = 1 if clock() - began >= good_spell else failures + 1
        await asyncio.sleep(delay(failures, first_delay, max_delay))


def for_good(status: int) -> bool:
    """Whether the answer to a handshake will be the same next time."""
    return 400 <= status <= 499 and status not in MENDS


def subscription(symbol: str, seq: int | None) -> dict[str, Any]:
    """Ask for a symbol, and for what came after update `seq` if there was one."""
    asked: dict[str, Any] = {"type": "subscribe", "symbol": symbol}
    return asked if seq is None else {**asked, "after": seq}


def take(message: dict[str, Any], seen: dict[str, int | None]) -> list[dict[str, Any]]:
    """Note in `seen` how far a message brings its symbol; return what the caller should see of it."""
    match message:
        case {"type": "subscribed", "symbol": str(symbol), "seq": int(seq)}:
            before, seen[symbol] = seen.get(symbol), seq
            if before not in (None, seq):
                return [{"type": "gap", "symbol": symbol, "after": before, "seq": seq}]
        case {"type": "update", "symbol": str(symbol), "seq": int(seq)}:
            seen[symbol] = seq
            return [message]
    return []


async def show(uri: str, token: str, symbols: Iterable[str]) -> None:
    """Print prices and gaps until the feed refuses."""

    def away() -> None:
        print(f"There is no connection to {uri}. Trying again.", file=sys.stderr, flush=True)

    async for message in stay_connected(uri, token, symbols, away=away):
        if message["type"] == "gap":
            print(f"{message['symbol']}: some updates are lost", flush=True)
        else:
            print(f"{message['symbol']}: {message['price']:.2f}", flush=True)


def main() -> int:
    """Follow symbols from a shell; return the exit status."""
    parser = argparse.ArgumentParser(description="Print the prices of some symbols, and come back when cut off.")
    parser.add_argument("symbols", nargs="+")
    parser.add_argument("--uri", default=URI)
    parser.add_argument("--token", default=TOKEN)
    options = parser.parse_args()
    try:
        asyncio.run(show(options.uri, options.token, options.symbols))
    except KeyboardInterrupt:
        return 0
    except (PermissionError, ValueError) as refused:
        print("Error:", refused, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
