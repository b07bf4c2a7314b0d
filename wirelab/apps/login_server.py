"""A login server of OAuth 2: it lets a person log in, and gives a program a token without showing it the password.

    python -m uvicorn wirelab.apps.login_server:app

    GET  /authorize?…      the page where a person types a password, sent there by a program
    POST /authorize?…      form username, password → 303 back to the program's address, with a code
    POST /token            form: a code and the verifier, for a token; or a username and a password

The code is the authorization code grant with PKCE (RFC 6749, section 4.1; RFC 7636). The other is the password
grant (RFC 6749, section 4.3), which RFC 9700 forbids: the program itself gets the password. It is here to be
looked at, as long as ``password_grant`` is true.

The demonstration has one program, "todo-client", and one user, ada ("analytical engine").
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

import jwt
from fastapi import FastAPI, Form, HTTPException, Query, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pwdlib import PasswordHash

ALGORITHM = "HS256"
AUDIENCE = "todos"
TOKEN_SECONDS = 900
CODE_SECONDS = 60  # RFC 6749, section 4.1.2, asks for ten minutes at most
HASHER = PasswordHash.recommended()

# Each program with the one address to which people may be sent back, compared letter for letter (RFC 9700, 2.1).
CLIENTS = {"todo-client": "http://127.0.0.1/logged-in"}
USERS = {
    "ada": "$argon2id$v=19$m=65536,t=3,p=4$+OChKrwkM4QwluEqm9Jflw$wMQgGHelXhsGKsOGCxK8mkjhzNHSzvWA7SArf9vzsAM"
}
PAGE = """<!doctype html><html lang="en"><title>Log in</title><form method="post">
<label>Name <input name="username"></label> <label>Password <input name="password" type="password"></label>
<button>Log in</button></form></html>"""


def create_app(
    *, users: Mapping[str, str] = USERS, clients: Mapping[str, str] = CLIENTS, password_grant: bool = True
) -> FastAPI:
    """Make a login server.

    Args:
        users: the argon2 hash of each user's password.
        clients: each program's address.
        password_grant: whether programs may bring passwords, as tutorials show it.
    """
    app = FastAPI(title="Log in here")
    key = secrets.token_hex(32)
    # Each code with its user, its program, its challenge, and until when it is good.
    codes: dict[str, tuple[str, str, str, float]] = {}
    nobody = next(iter(users.values()))

    def logged_in(username: str, password: str) -> bool:
        return HASHER.verify(password, users.get(username, nobody)) and username in users

    def known(client_id: str, redirect_uri: str, code_challenge_method: str) -> None:
        # Nobody is sent to an address that is not the program's own, an error least of all.
        if clients.get(client_id) != redirect_uri or code_challenge_method != "S256":
            raise HTTPException(400, "There is no such program, or it comes without a challenge")

    @app.get("/authorize")
    def ask(
        client_id: str, redirect_uri: str, code_challenge: str, code_challenge_method: str = "plain"
    ) -> HTMLResponse:
        known(client_id, redirect_uri, code_challenge_method)
        # A page that is shown within another one can be made to be clicked.
        return HTMLResponse(PAGE, headers={"X-Frame-Options": "DENY", "Cache-Control": "no-store"})

    # A plain def: a password's check is work for a thread, not for the event loop.
    @app.post("/authorize")
    def allow(
        client_id: str,
        redirect_uri: str,
        code_challenge: Annotated[str, Query(min_length=43, max_length=128)],
        username: Annotated[str, Form()],
        password: Annotated[str, Form()],
        state: str = "",
        code_challenge_method: str = "plain",
    ) -> Response:
        known(client_id, redirect_uri, code_challenge_method)
        if not logged_in(username, password):
            raise HTTPException(401, "Wrong username or password", {"WWW-Authenticate": "Bearer"})
        now = time.monotonic()
        for unused in [code for code, (*_, good_until) in codes.items() if good_until < now]:
            # A default, as another thread may do the same.
            codes.pop(unused, None)
        code = secrets.token_urlsafe(32)
        codes[code] = username, client_id, code_challenge, now + CODE_SECONDS
        # 303, so that the browser does not send the password on (RFC 9700, section 4.12).
        return Response(
            status_code=303, headers={"Location": f"{redirect_uri}?{urlencode({'code': code, 'state': state})}"}
        )

    @app.post("/token")
    def token(
        grant_type: Annotated[str, Form()] = "",
        client_id: Annotated[str, Form()] = "",
        code: Annotated[str, Form()] = "",
        code_verifier: Annotated[str, Form()] = "",
        username: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
    ) -> JSONResponse:
        if grant_type == "authorization_code":
            # Gone with the first try, good or bad.
            user, owner, challenge, good_until = codes.pop(code, ("", "", "", 0.0))
            good = (
                owner == client_id and challenge_of(code_verifier) == challenge and time.monotonic() < good_until
            )
        elif grant_type == "password" and password_grant:
            user, good = username, logged_in(username, password)
        else:
            return answer({"error": "unsupported_grant_type" if grant_type else "invalid_request"}, 400)
        if not good:
            return answer({"error": "invalid_grant"}, 400)
        claims = {"sub": user, "aud": AUDIENCE, "exp": int(time.time()) + TOKEN_SECONDS}
        granted = jwt.encode(claims, key, ALGORITHM)
        return answer({"access_token": granted, "token_type": "bearer", "expires_in": TOKEN_SECONDS})

    return app


def answer(content: dict[str, str | int], status: int = 200) -> JSONResponse:
    """What a program gets for a grant: a token or an error (RFC 6749, 5.1 and 5.2), which nobody may store."""
    return JSONResponse(content, status, {"Cache-Control": "no-store"})


def challenge_of(verifier: str) -> str:
    """The challenge that a verifier answers: its SHA-256 in base64 for addresses (RFC 7636, section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


app = create_app()
