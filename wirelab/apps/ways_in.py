"""A WebSocket with six doors: each way in which clients show who they are, beside the others.

    python -m uvicorn wirelab.apps.ways_in:app

    POST /token?seconds=60      a token for a visitor, with no questions asked: this is about doors
    POST /ticket                Authorization: Bearer TOKEN → a ticket, good for one WebSocket, for half a minute
    WebSocket /prices           {"symbol", "price"} ten times a second, for whoever shows a token:

    header         Authorization: Bearer TOKEN, which a browser's WebSocket cannot send
    query          ?token=TOKEN
    cookie         Cookie: token=TOKEN
    subprotocol    Sec-WebSocket-Protocol: prices, token.TOKEN; the server answers with "prices"
    first message  {"token": TOKEN}, within two seconds after the WebSocket is open
    ticket         ?ticket=TICKET

Once a socket is open, nobody looks at its token again: that is the fault of all six, and here on purpose.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from contextlib import suppress
from typing import Any

import jwt
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect

KEY = secrets.token_hex(32)
ALGORITHM = "HS256"
INTERVAL = 0.1  # seconds from one price to the next
FIRST_MESSAGE = 2.0  # seconds within which it has to be there
TICKET_SECONDS = 30.0
POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1
SUBPROTOCOL, PREFIX = "prices", "token."

app = FastAPI()
tickets: dict[str, float] = {}


@app.post("/token")
def new_token(seconds: float = 60.0) -> str:
    """Give a token to a visitor."""
    return jwt.encode({"sub": "visitor", "exp": time.time() + seconds}, KEY, ALGORITHM)


@app.post("/ticket")
def new_ticket(request: Request) -> Response:
    """Sell a ticket for a token."""
    if not is_good(bearer(request.headers.get("authorization", ""))):
        return Response("Show your token.", 401, {"WWW-Authenticate": "Bearer"})
    now = time.monotonic()
    for unused in [ticket for ticket, good_until in tickets.items() if good_until < now]:
        del tickets[unused]
    ticket = secrets.token_urlsafe(32)
    tickets[ticket] = now + TICKET_SECONDS
    return Response(ticket)


@app.websocket("/prices")
async def prices(websocket: WebSocket) -> None:
    """Let in whoever shows a token or a ticket, or says one in time."""
    query, offered = websocket.query_params, websocket.scope["subprotocols"]
    by_protocol = next((name.removeprefix(PREFIX) for name in offered if name.startswith(PREFIX)), "")
    shown = (
        bearer(websocket.headers.get("authorization", ""))
        or query.get("token")
        or websocket.cookies.get("token")
        or by_protocol
    )
    if "ticket" in query:
        known = tickets.pop(query["ticket"], 0.0) > time.monotonic()
    else:
        # Whoever shows nothing yet may still say something.
        known = is_good(shown) if shown else True
    if not known:
        await websocket.close(POLICY_VIOLATION)
        return
    await websocket.accept(SUBPROTOCOL if by_protocol else None)
    if not shown and "ticket" not in query and not is_good(await first_message(websocket)):
        await websocket.close(POLICY_VIOLATION, "The first message has to show a token")
        return
    await send_prices(websocket)


async def first_message(websocket: WebSocket) -> str:
    """The token in the first message, "" if there is none, or none in time."""
    with suppress(TimeoutError, ValueError, KeyError, TypeError):
        async with asyncio.timeout(FIRST_MESSAGE):
            return str(json.loads(await websocket.receive_text())["token"])
    return ""


async def send_prices(websocket: WebSocket) -> None:
    """Send prices until the client has left."""
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_json({"symbol": "ACME", "price": round(random.uniform(95, 105), 2)})
            await asyncio.sleep(INTERVAL)


def bearer(header: str) -> str:
    """The token in an Authorization header (RFC 6750), "" if there is none."""
    scheme, _, token = header.partition(" ")
    return token if scheme.lower() == "bearer" else ""


def is_good(token: str | None) -> bool:
    """Whether this is a token of ours that has not expired."""
    with suppress(jwt.InvalidTokenError):
        claims: dict[str, Any] = jwt.decode(token or "", KEY, [ALGORITHM], options={"require": ["sub", "exp"]})
        return bool(claims["sub"])
    return False
