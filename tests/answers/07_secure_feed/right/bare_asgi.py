"""An ASGI function without a framework: tokens signed by hand, passwords checked in a pool of its own."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import secrets
import time
from urllib.parse import parse_qs

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

SECRET = b"d64828560782c70739ad42b56f329f0fbf32a0d3d4356f9b14e2522aaabaaa5a"
AUDIENCE = "secure-feed"
USERS = {
    "ada": "$argon2id$v=19$m=7168,t=5,p=1$FZCfqciZdUHbrBDpbjiSfQ$lbpvtXNVG3J6lcA5IWcwteOQzo1vd8qCx+z4mbvp/LQ",
    "grace": "$argon2id$v=19$m=7168,t=5,p=1$hmTnqZlcVd45WldEACYRCA$RE9gJi9TDYCQvzxvbUcYX4VFPN/U3yWZwzPAox+HHaA",
}
TODOS = [
    {"id": 1, "owner": "ada", "task": "Write the first program", "status": "Done"},
    {"id": 2, "owner": "grace", "task": "Catch the moth", "status": "Pending"},
    {"id": 3, "owner": "ada", "task": "Translate Menabrea", "status": "Pending"},
]
SOLD = {}


# Tokens


def pack(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unpack(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signature(body):
    return hmac.digest(SECRET, body.encode(), hashlib.sha256)


def make_token(user):
    now = int(time.time())
    claims = {"sub": user, "aud": [AUDIENCE], "iat": now, "exp": now + 900, "jti": secrets.token_hex(8)}
    body = pack(b'{"alg":"HS256"}') + "." + pack(json.dumps(claims).encode())
    return body + "." + pack(signature(body))


def read_token(token):
    body, _, signed = token.rpartition(".")
    try:
        if not hmac.compare_digest(unpack(signed), signature(body)):
            return None
        header, claims = (json.loads(unpack(part)) for part in body.split("."))
    except ValueError:
        return None
    meant_for = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if header["alg"] != "HS256" or claims["exp"] <= time.time() or AUDIENCE not in meant_for:
        return None
    return claims


def caller(scope):
    value = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
    return read_token(value[7:]) if value[:7].lower() == "bearer " else None


# Passwords


def password_fits(username, password):
    stored = USERS.get(username) or USERS["ada"]
    try:
        PasswordHasher().verify(stored, password)
    except VerifyMismatchError:
        return False
    return username in USERS


# HTTP


async def read_body(receive):
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    return body


async def handle(scope, receive):
    match scope["method"], scope["path"].strip("/").split("/"):
        case "GET", ["health"]:
            return 200, "fine"
        case "POST", ["login"]:
            form = parse_qs((await read_body(receive)).decode())
            username, password = form["username"][0], form["password"][0]
            loop = asyncio.get_running_loop()
            if await loop.run_in_executor(None, password_fits, username, password):
                return 200, {"access_token": make_token(username), "token_type": "bearer"}
            return 401, {"detail": "Wrong username or password."}
    claims = caller(scope)
    if claims is None:
        return 401, {"detail": "Log in first."}
    mine = [todo for todo in TODOS if todo["owner"] == claims["sub"]]
    match scope["method"], scope["path"].strip("/").split("/"):
        case "GET", ["todos"]:
            return 200, mine
        case "GET", ["todos", id]:
            found = [todo for todo in mine if str(todo["id"]) == id]
            return (200, found[0]) if found else (404, {"detail": "You have no such todo."})
        case "POST", ["ticket"]:
            query = parse_qs(scope["query_string"].decode())
            seconds = min(30.0, float(query.get("seconds", ["30"])[0]))
            ticket = secrets.token_hex()
            SOLD[ticket] = time.time() + seconds, claims["exp"]
            return 201, {"ticket": ticket, "expires_in": seconds}
    return 404, {"detail": "There is nothing here."}


async def http(scope, receive, send):
    status, body = await handle(scope, receive)
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="todos"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


# WebSocket


def expiry_of(scope):
    """When the socket of a handshake has to close; None if it must not open."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    if origin is not None and origin != b"http://" + headers[b"host"]:
        return None
    ticket = parse_qs(scope["query_string"].decode()).get("ticket", [""])[0]
    good_until, expires = SOLD.pop(ticket, (0, 0))
    return expires if time.time() < min(good_until, expires) else None


async def websocket(scope, receive, send):
    await receive()
    expires = expiry_of(scope)
    if expires is None:
        return await send({"type": "websocket.close"})
    await send({"type": "websocket.accept"})
    listening = asyncio.ensure_future(receive())
    code, next_price = 0, 0
    while not code:
        if time.time() >= next_price:
            price = {"symbol": "ACME", "price": round(random.uniform(95, 105), 2)}
            await send({"type": "websocket.send", "text": json.dumps(price)})
            next_price = time.time() + 0.05
        await asyncio.wait([listening], timeout=min(next_price, expires) - time.time())
        if listening.done():
            message = listening.result()
            if message["type"] == "websocket.disconnect":
                return
            if len((message.get("text") or "").encode() or message.get("bytes") or b"") > 4096:
                code = 1009
            listening = asyncio.ensure_future(receive())
        if time.time() >= expires:
            code = 3000
    listening.cancel()
    await send({"type": "websocket.close", "code": code})


async def app(scope, receive, send):
    if scope["type"] == "http":
        await http(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
