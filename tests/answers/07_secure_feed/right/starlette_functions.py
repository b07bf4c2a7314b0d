"""Plain Starlette: routes in a table, PyJWT and pwdlib, tickets in a dictionary."""

import asyncio
import json
import random
import secrets
import time
from contextlib import suppress

import jwt
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

SECRET = "d64828560782c70739ad42b56f329f0fbf32a0d3d4356f9b14e2522aaabaaa5a"
ALGORITHM, AUDIENCE = "HS256", "secure-feed"
TOKEN_SECONDS, TICKET_SECONDS = 900, 30
INTERVAL, MAX_MESSAGE = 0.05, 4096

hasher = PasswordHash([Argon2Hasher(time_cost=5, memory_cost=7168, parallelism=1)])
users = {
    "ada": "$argon2id$v=19$m=7168,t=5,p=1$FZCfqciZdUHbrBDpbjiSfQ$lbpvtXNVG3J6lcA5IWcwteOQzo1vd8qCx+z4mbvp/LQ",
    "grace": "$argon2id$v=19$m=7168,t=5,p=1$hmTnqZlcVd45WldEACYRCA$RE9gJi9TDYCQvzxvbUcYX4VFPN/U3yWZwzPAox+HHaA",
}
nobody = hasher.hash(secrets.token_hex())
todos = {
    1: {"id": 1, "owner": "ada", "task": "Write the first program", "status": "Done"},
    2: {"id": 2, "owner": "grace", "task": "Catch the moth", "status": "Pending"},
    3: {"id": 3, "owner": "ada", "task": "Translate Menabrea", "status": "Pending"},
}
tickets = {}


def refuse(detail):
    raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})


async def health(request):
    return JSONResponse({"status": "ok"})


async def login(request):
    form = await request.form()
    username, password = str(form.get("username", "")), str(form.get("password", ""))
    fits = await asyncio.to_thread(hasher.verify, password, users.get(username, nobody))
    if not fits or username not in users:
        refuse("Wrong username or password.")
    claims = {"sub": username, "aud": AUDIENCE, "exp": int(time.time()) + TOKEN_SECONDS}
    token = jwt.encode(claims, SECRET, algorithm=ALGORITHM)
    return JSONResponse({"access_token": token, "token_type": "bearer"})


def claims_of(request):
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        refuse("Log in first.")
    try:
        return jwt.decode(token, SECRET, algorithms=[ALGORITHM], audience=AUDIENCE)
    except jwt.PyJWTError:
        refuse("This token is not good.")


async def collection(request):
    user = claims_of(request)["sub"]
    if request.method == "GET":
        return JSONResponse([todo for todo in todos.values() if todo["owner"] == user])
    body = await request.json()
    todo = {"id": max(todos) + 1, "owner": user, "task": body["task"], "status": "Pending"}
    todos[todo["id"]] = todo
    return JSONResponse(todo, 201)


async def one(request):
    user = claims_of(request)["sub"]
    todo = todos.get(request.path_params["id"])
    if todo is None or todo["owner"] != user:
        raise HTTPException(404, "You have no such todo.")
    return JSONResponse(todo)


async def buy_ticket(request):
    claims = claims_of(request)
    seconds = min(float(request.query_params.get("seconds", TICKET_SECONDS)), TICKET_SECONDS)
    ticket = secrets.token_urlsafe()
    tickets[ticket] = claims, time.monotonic() + seconds
    return JSONResponse({"ticket": ticket, "expires_in": seconds})


async def claims_behind(ticket):
    claims, good_until = tickets.pop(ticket, (None, 0))
    return claims if time.monotonic() < good_until else None


def comes_from_here(websocket):
    origin = websocket.headers.get("origin")
    return origin is None or origin == "http://" + websocket.headers["host"]


async def prices(websocket):
    if not comes_from_here(websocket):
        return await websocket.close(1008)
    claims = await claims_behind(websocket.query_params.get("ticket"))
    if claims is None:
        return await websocket.close(1008)
    await websocket.accept()
    sending = asyncio.create_task(send_prices(websocket))
    try:
        async with asyncio.timeout(claims["exp"] - time.time()):
            code = await listen(websocket)
    except TimeoutError:
        code = 1008
    finally:
        sending.cancel()
    if code:
        await websocket.close(code)


async def send_prices(websocket):
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(json.dumps({"symbol": "ACME", "price": round(random.uniform(95, 105), 2)}))
            await asyncio.sleep(INTERVAL)


async def listen(websocket):
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        if len(message.get("text") or message.get("bytes") or "") > MAX_MESSAGE:
            return 1009


async def as_json(request, error):
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/login", login, methods=["POST"]),
        Route("/todos", collection, methods=["GET", "POST"]),
        Route("/todos/{id:int}", one),
        Route("/ticket", buy_ticket, methods=["POST"]),
        WebSocketRoute("/prices", prices),
    ],
    exception_handlers={HTTPException: as_json},
)
