"""FastAPI with plain functions that run in threads, and its own OAuth2 classes; a ticket is a token, crossed out once used.

Refused sockets are opened and closed again, so that a page can read the close code; a foreign Origin is not.
"""

import asyncio
import datetime
import random
import threading
import uuid
from typing import Annotated

import jwt
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, WebSocket, WebSocketDisconnect
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import BaseModel

SECRET = "d64828560782c70739ad42b56f329f0fbf32a0d3d4356f9b14e2522aaabaaa5a"
AUDIENCE, FOR_TICKETS = "secure-feed", "secure-feed/prices"
HASHES = {
    "ada": "$argon2id$v=19$m=7168,t=5,p=1$FZCfqciZdUHbrBDpbjiSfQ$lbpvtXNVG3J6lcA5IWcwteOQzo1vd8qCx+z4mbvp/LQ",
    "grace": "$argon2id$v=19$m=7168,t=5,p=1$hmTnqZlcVd45WldEACYRCA$RE9gJi9TDYCQvzxvbUcYX4VFPN/U3yWZwzPAox+HHaA",
}
password_hash = PasswordHash([Argon2Hasher(time_cost=5, memory_cost=7168, parallelism=1)])
DUMMY = password_hash.hash("nobody has this password")
bearer = OAuth2PasswordBearer(tokenUrl="login")
api = APIRouter()
used, crossing_out = set(), threading.Lock()


class Todo(BaseModel):
    id: int
    task: str
    status: str = "Pending"


class NewTodo(BaseModel):
    task: str
    status: str = "Pending"


class Person(BaseModel):
    name: str
    until: int


owned = {
    "ada": [Todo(id=1, task="Write the first program", status="Done"), Todo(id=3, task="Translate Menabrea")],
    "grace": [Todo(id=2, task="Catch the moth")],
}


def now():
    return datetime.datetime.now(datetime.UTC)


def signed(audience, seconds, **claims):
    claims |= {"aud": audience, "iat": now(), "exp": now() + datetime.timedelta(seconds=seconds)}
    return jwt.encode(claims, SECRET, "HS256")


def claims_of(token, audience):
    required = {"require": ["sub", "exp", "aud"]}
    return jwt.decode(token, SECRET, ["HS256"], required, audience=audience)


def current(token: Annotated[str, Depends(bearer)]):
    try:
        claims = claims_of(token, AUDIENCE)
    except jwt.InvalidTokenError as fault:
        raise HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"}) from fault
    return Person(name=claims["sub"], until=claims["exp"])


Me = Annotated[Person, Depends(current)]


@api.get("/health")
async def health():
    return "ok"


@api.post("/login")
def login(form: Annotated[OAuth2PasswordRequestForm, Depends()]):
    known = form.username in HASHES
    if not password_hash.verify(form.password, HASHES[form.username] if known else DUMMY) or not known:
        raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Bearer"})
    return {"access_token": signed(AUDIENCE, 900, sub=form.username), "token_type": "bearer"}


@api.get("/todos")
def todos(me: Me) -> list[Todo]:
    return owned[me.name]


@api.get("/todos/{id}")
def todo(id: int, me: Me) -> Todo:
    for mine in owned[me.name]:
        if mine.id == id:
            return mine
    raise HTTPException(404, "Not found")


@api.post("/todos", status_code=201)
def create(new: NewTodo, me: Me) -> Todo:
    made = Todo(id=uuid.uuid4().int >> 100, **new.model_dump())
    owned[me.name].append(made)
    return made


@api.post("/ticket")
def ticket(me: Me, seconds: Annotated[float, Query(gt=0, le=30)] = 30):
    sold = signed(FOR_TICKETS, seconds, sub=me.name, jti=uuid.uuid4().hex, until=me.until)
    return {"ticket": sold, "expires_in": seconds}


@api.websocket("/prices")
async def prices(websocket: WebSocket, ticket: str = ""):
    origin = websocket.headers.get("origin")
    if origin and origin != f"http://{websocket.url.netloc}":
        return await websocket.close()
    await websocket.accept()
    try:
        claims = claims_of(ticket, FOR_TICKETS)
    except jwt.InvalidTokenError:
        return await websocket.close(1008)
    with crossing_out:
        if claims["jti"] in used:
            return await websocket.close(1008)
        used.add(claims["jti"])
    left = claims["until"] - now().timestamp()
    async with asyncio.TaskGroup() as group:
        streaming = group.create_task(stream(websocket))
        watching = [group.create_task(asyncio.sleep(left, 4401)), group.create_task(mind_lengths(websocket))]
        done, _ = await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
        for task in (streaming, *watching):
            task.cancel()
    if code := done.pop().result():
        await websocket.close(code)


async def stream(websocket):
    try:
        while True:
            await websocket.send_json({"symbol": "ACME", "price": round(random.uniform(95, 105), 2)})
            await asyncio.sleep(0.05)
    except WebSocketDisconnect:
        pass


async def mind_lengths(websocket):
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if len(message.get("bytes") or message["text"].encode()) > 4096:
            return 1009


app = FastAPI()
app.include_router(api)
