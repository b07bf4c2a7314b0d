"""Prices and todos for those who may see them: a login, signed tokens, single-use tickets, and limits that hold.

    python -m wirelab.apps.secure_prices
    curl -d "username=ada&password=analytical engine" http://127.0.0.1:8000/login

    POST /login                    form username, password → {"access_token", "token_type", "expires_in"}
    GET  /todos, /todos/{id}       the caller's own; Authorization: Bearer TOKEN
    POST /todos                    {"task", "status"} → 201; it belongs to the caller
    POST /ticket                   → {"ticket", "expires_in"}, for one WebSocket that opens soon
    WebSocket /prices?ticket=…     {"symbol", "price"} until the token behind the ticket expires
    GET  /health                   whether the server answers

A browser cannot give a WebSocket a header, and an address ends up in logs and histories. So the token stays out
of it: the ticket that stands there is worthless once it was used, or after half a minute.

The demonstration has two users, ada ("analytical engine") and grace ("compilers first"). Whoever is not this
machine needs TLS: ``--certfile`` and ``--keyfile``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any

import jwt
import uvicorn
from fastapi import (
    Depends,
    FastAPI,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    WebSocket,
    WebSocketDisconnect,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pwdlib import PasswordHash
from pydantic import BaseModel, Field

ALGORITHM = "HS256"
AUDIENCE = "wirelab"
TOKEN_SECONDS = 900.0
TICKET_SECONDS = 30.0
INTERVAL = 1.0  # seconds from one price to the next

MAX_BODY = 16 * 1024  # bytes of a request
MAX_MESSAGE = 4096  # bytes of a WebSocket message
MAX_RATE = 20  # messages that a client may send in a second
MAX_SOCKETS = 10  # of one user
MAX_TICKETS = 20  # of one user that wait to be used
MAX_TODOS = 1000  # of one user
HASHES_AT_ONCE = 2  # argon2 takes 64 MiB and every core for each password

# RFC 6455, section 7.4.1.
POLICY_VIOLATION, TOO_BIG, TRY_AGAIN_LATER = 1008, 1009, 1013

USERS = {
    "ada": "$argon2id$v=19$m=65536,t=3,p=4$+OChKrwkM4QwluEqm9Jflw$wMQgGHelXhsGKsOGCxK8mkjhzNHSzvWA7SArf9vzsAM",
    "grace": "$argon2id$v=19$m=65536,t=3,p=4$avftG256aSRS6kMEv+xhCQ$5g36DcaHQPRN/Udzr7ff5tPSF3mB/pu39MJsptxMIC0",
}
SAMPLES = (("ada", "Write the first program"), ("grace", "Catch the moth"))


Symbol = Annotated[str, Query(min_length=1, max_length=64)]
Seconds = Annotated[float, Query(gt=0, allow_inf_nan=False)]


class Claims(BaseModel):
    """What a token says, once its signature was found good."""

    sub: str
    exp: float


class NewTodo(BaseModel):
    """A todo as a client sends it. Whose it is, is not for the client to say."""

    task: str = Field(min_length=1, max_length=1000)
    status: str = Field("Pending", min_length=1, max_length=100)


class Todo(NewTodo):
    """A todo as its owner sees it."""

    id: int


@dataclass(frozen=True)
class Tokens:
    """Makes and reads the tokens of one service (RFC 7519), by a key that it shares with nobody."""

    secret: str
    audience: str
    seconds: float

    def new(self, user: str) -> str:
        """A token for a user, good from now on."""
        now = int(time.time())
        claims = {"sub": user, "aud": self.audience, "iat": now, "exp": now + int(self.seconds)}
        return jwt.encode(claims, self.secret, algorithm=ALGORITHM)

    def read(self, token: str) -> Claims:
        """The claims of a token of ours that is still good.

        The algorithm is ours to choose and never the token's: one that says "none" needs no key (RFC 8725, 3.1).

        Raises:
            jwt.InvalidTokenError: it is none.
        """
        claims = jwt.decode(
            token,
            self.secret,
            algorithms=[ALGORITHM],
            audience=self.audience,
            options={"require": ["sub", "aud", "exp"]},
        )
        return Claims.model_validate(claims)


class Passwords:
    """Looks up users by name and password, equally long whether there is such a user or not."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = users
        self._hasher = PasswordHash.recommended()
        self._turn = asyncio.Semaphore(HASHES_AT_ONCE)

    async def fit(self, username: str, password: str) -> bool:
        """Whether a user has this password. The work is done in a thread: the event loop goes on meanwhile."""
        somebodys = next(iter(self._users.values()))
        stored = self._users.get(username, somebodys)
        async with self._turn:
            fits = await asyncio.to_thread(self._hasher.verify, password, stored)
        return fits and username in self._users


class Tickets:
    """Tickets that wait to be used, each with the claims of the token that bought it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waiting: dict[str, tuple[Claims, float]] = {}

    def new(self, claims: Claims, seconds: float) -> tuple[str, float]:
        """A ticket, and the seconds that it is good for: at most as many as its token is.

        Raises:
            OverflowError: too many of this user's wait.
        """
        now = time.monotonic()
        seconds = min(seconds, self.seconds, claims.exp - time.time())
        self._waiting = {ticket: bought for ticket, bought in self._waiting.items() if bought[1] > now}
        if sum(holder.sub == claims.sub for holder, _ in self._waiting.values()) >= MAX_TICKETS:
            raise OverflowError(f"{MAX_TICKETS} tickets wait to be used")
        ticket = secrets.token_urlsafe(32)
        self._waiting[ticket] = claims, now + seconds
        return ticket, seconds

    def use(self, ticket: str) -> Claims | None:
        """The claims behind a ticket that is good; whoever comes next with it gets None."""
        claims, good_until = self._waiting.pop(ticket, (None, 0.0))
        return claims if time.monotonic() < good_until else None


async def caller(request: Request, authorization: Annotated[str, Header()] = "") -> Claims:
    """The claims of whoever sent a request, by its bearer token (RFC 6750)."""
    scheme, _, token = authorization.partition(" ")
    with suppress(jwt.InvalidTokenError):
        claims: Claims = request.app.state.tokens.read(token)
        if scheme.lower() == "bearer" and claims.sub in request.app.state.users:
            return claims
    raise HTTPException(401, "Log in first", {"WWW-Authenticate": "Bearer"})


Caller = Annotated[Claims, Depends(caller)]


def create_app(
    *,
    secret: str | None = None,
    users: Mapping[str, str] = USERS,
    todos: Iterable[tuple[str, str]] = SAMPLES,
    audience: str = AUDIENCE,
    token_seconds: float = TOKEN_SECONDS,
    ticket_seconds: float = TICKET_SECONDS,
    interval: float = INTERVAL,
    origins: Collection[str] = (),
) -> FastAPI:
    """Make a service of its own.

    Args:
        secret: the key that signs tokens, 32 bytes or more; a new one if there is none, which ends all tokens that
            were given out before.
        users: the hash of each user's password.
        todos: owner and task of each todo that there is at first.
        audience: for whom the tokens are.
        token_seconds: how long a token is good for.
        ticket_seconds: how long a ticket is good for.
        interval: seconds between two prices.
        origins: pages that may open a WebSocket besides the service's own, as in ``"https://prices.example"``.
    """
    passwords: Passwords

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Made anew each time: turns are taken on one event loop, and an application may be served again.
        nonlocal passwords
        passwords = Passwords(users)
        yield

    app = FastAPI(title="Secure prices", max_body_size=MAX_BODY, lifespan=lifespan)
    app.state.tokens = tokens = Tokens(secret or secrets.token_hex(32), audience, token_seconds)
    app.state.users = users
    app.exception_handler(RequestValidationError)(refuse)
    tickets = Tickets(ticket_seconds)
    ids = itertools.count(1)
    owned: dict[str, dict[int, Todo]] = {user: {} for user in users}
    for owner, task in todos:
        todo = Todo(id=next(ids), task=task, status="Pending")
        owned[owner][todo.id] = todo
    open_sockets: Counter[str] = Counter()
    market = Market(interval)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/login")
    async def login(
        username: Annotated[str, Form()], password: Annotated[str, Form()], response: Response
    ) -> dict[str, str | float]:
        if not await passwords.fit(username, password):
            raise HTTPException(401, "Wrong username or password", {"WWW-Authenticate": "Bearer"})
        keep_nowhere(response)
        return {"access_token": tokens.new(username), "token_type": "bearer", "expires_in": tokens.seconds}

    @app.get("/todos")
    async def list_todos(claims: Caller) -> list[Todo]:
        return list(owned[claims.sub].values())

    @app.get("/todos/{todo_id}")
    async def get_todo(todo_id: int, claims: Caller) -> Todo:
        # Somebody else's is answered like none at all: 403 would tell that it is there.
        if todo_id not in owned[claims.sub]:
            raise HTTPException(404, f"You have no todo {todo_id}")
        return owned[claims.sub][todo_id]

    @app.post("/todos", status_code=201)
    async def create_todo(new: NewTodo, claims: Caller, response: Response) -> Todo:
        if len(owned[claims.sub]) >= MAX_TODOS:
            raise HTTPException(409, f"You have {MAX_TODOS} todos, and may not have more")
        todo = Todo(id=next(ids), **new.model_dump())
        owned[claims.sub][todo.id] = todo
        response.headers["Location"] = f"/todos/{todo.id}"
        return todo

    @app.post("/ticket")
    async def buy_ticket(
        claims: Caller, response: Response, seconds: Seconds = ticket_seconds
    ) -> dict[str, str | float]:
        try:
            ticket, good_for = tickets.new(claims, seconds)
        except OverflowError:
            retry = {"Retry-After": str(math.ceil(tickets.seconds))}
            raise HTTPException(429, f"{MAX_TICKETS} tickets of yours wait to be used", retry) from None
        keep_nowhere(response)
        return {"ticket": ticket, "expires_in": good_for}

    @app.websocket("/prices")
    async def prices(websocket: WebSocket, ticket: str = "", symbol: Symbol = "ACME") -> None:
        # Closed before it is accepted, a handshake is answered with 403. The ticket of a user whose browser was
        # sent here by a stranger's page stays good.
        claims = tickets.use(ticket) if is_from(websocket, origins) else None
        if claims is None:
            return await websocket.close(POLICY_VIOLATION)
        if open_sockets[claims.sub] >= MAX_SOCKETS:
            await websocket.accept()
            return await websocket.close(TRY_AGAIN_LATER, f"You have {MAX_SOCKETS} of these open")
        open_sockets[claims.sub] += 1
        try:
            await websocket.accept()
            await market.serve(websocket, symbol, claims.exp - time.time())
        finally:
            open_sockets[claims.sub] -= 1

    return app


async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong with a request, without its input.

    FastAPI's own answer repeats that, and fails where it cannot be written as JSON: NaN, half a surrogate pair.
    """
    faults = [{key: fault[key] for key in ("type", "loc", "msg")} for fault in error.errors()]
    return JSONResponse({"detail": faults}, 422)


def keep_nowhere(response: Response) -> None:
    """Tell browsers and proxies to store nothing of an answer that holds a secret (RFC 6749, section 5.1)."""
    response.headers["Cache-Control"] = "no-store"


def is_from(websocket: WebSocket, others: Collection[str]) -> bool:
    """Whether a handshake comes from the service's own page, from one of the others, or from no browser.

    A browser adds its own cookies and says truly whose page it acts for (RFC 6454); a program may say anything,
    and has no cookies of somebody else. CORS does not apply to WebSockets.
    """
    origin = websocket.headers.get("origin")
    scheme = "https" if websocket.url.scheme == "wss" else "http"
    return origin in (None, f"{scheme}://{websocket.headers.get('host')}", *others)


class Market:
    """Prices that are drawn from the symbol and the time: all sockets see the same, and none waits for another."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._seed = secrets.token_hex()

    async def serve(self, websocket: WebSocket, symbol: str, seconds: float) -> None:
        """Send prices until the client has left, breaks a rule, or its time is over; close with the reason."""
        sending = asyncio.create_task(self._send(websocket, symbol))
        try:
            async with asyncio.timeout(seconds):
                code, reason = await listen(websocket)
        except TimeoutError:
            code, reason = POLICY_VIOLATION, "Your token has expired: log in again"
        finally:
            sending.cancel()
        if code:
            await websocket.close(code, reason)

    async def _send(self, websocket: WebSocket, symbol: str) -> None:
        clock = asyncio.get_running_loop().time
        # A client that is gone raises OSError here; `listen` learns of it as well.
        with suppress(WebSocketDisconnect, OSError):
            for tick in itertools.count(math.ceil(clock() / self._interval)):
                await asyncio.sleep(tick * self._interval - clock())
                price = round(random.Random(f"{self._seed} {symbol} {tick}").uniform(95, 105), 2)
                await websocket.send_text(json.dumps({"symbol": symbol, "price": price}))


async def listen(websocket: WebSocket) -> tuple[int, str]:
    """Take what a client says, and forget it; return a close code and why, or 0 when the client has left."""
    said: list[float] = []
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        if size(message) > MAX_MESSAGE:
            return TOO_BIG, f"A message may have {MAX_MESSAGE} bytes"
        now = time.monotonic()
        said = [at for at in said if at > now - 1] + [now]
        if len(said) > MAX_RATE:
            return POLICY_VIOLATION, f"You may send {MAX_RATE} messages a second"
    return 0, ""


def size(message: Mapping[str, Any]) -> int:
    """The bytes of a message, text or binary."""
    return len(message.get("bytes") or (message.get("text") or "").encode())


app = create_app()


def main() -> None:
    """Serve from a shell."""
    parser = argparse.ArgumentParser(description="Serve prices and todos to those who log in.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--certfile", help="serve HTTPS and WSS with this certificate")
    parser.add_argument("--keyfile", help="the certificate's key")
    options = parser.parse_args()
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        ssl_certfile=options.certfile,
        ssl_keyfile=options.keyfile,
        # Larger ones are cut off by the server itself, before they take any memory.
        ws_max_size=MAX_MESSAGE,
        # Inflating is work that a stranger sets: a few bytes become millions.
        ws_per_message_deflate=False,
    )


if __name__ == "__main__":
    main()
