"""The login server: the code grant with its challenge, and the password grant that it can do without."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx2
import jwt
import pytest
from fastapi.routing import APIRoute
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from wirelab import serve
from wirelab.apps import login_server
from wirelab.apps.login_server import AUDIENCE, CLIENTS, challenge_of, create_app

VERIFIER = "v" * 43
PASSWORD = "difference engine"
# A quick hash, for tests only.
USERS = {"charles": PasswordHash([Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1)]).hash(PASSWORD)}
ASK = {
    "client_id": "todo-client",
    "redirect_uri": CLIENTS["todo-client"],
    "code_challenge": challenge_of(VERIFIER),
    "code_challenge_method": "S256",
    "state": "of mind",
}
LOGIN = {"username": "charles", "password": PASSWORD}


@pytest.fixture(scope="module")
def web() -> Iterator[httpx2.Client]:
    with serve(create_app(users=USERS), name="login") as server:
        with httpx2.Client(base_url=server.http, trust_env=False, timeout=10) as client:
            yield client
        assert server.errors == []


def code(web: httpx2.Client) -> str:
    answer = web.post("/authorize", params=ASK, data=LOGIN)
    assert answer.status_code == 303
    sent_to, _, query = answer.headers["location"].partition("?")
    assert sent_to == CLIENTS["todo-client"]
    told = parse_qs(urlsplit("?" + query).query)
    assert told["state"] == ["of mind"]
    return told["code"][0]


def redeem(web: httpx2.Client, **form: str) -> httpx2.Response:
    usual = {"grant_type": "authorization_code", "client_id": "todo-client", "code_verifier": VERIFIER}
    return web.post("/token", data=usual | form)


def test_the_challenge_is_that_of_the_rfc() -> None:
    # RFC 7636, appendix B.
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_code_and_its_verifier_get_a_token(web: httpx2.Client) -> None:
    answer = redeem(web, code=code(web))
    assert answer.headers["Cache-Control"] == "no-store"
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["aud"]) == ("charles", AUDIENCE)


@pytest.mark.parametrize("wrong", [{"code_verifier": "w" * 43}, {"client_id": "another"}, {"code_verifier": ""}])
def test_a_stolen_code_is_refused_and_gone(web: httpx2.Client, wrong: dict[str, str]) -> None:
    given = code(web)
    refused = redeem(web, code=given, **wrong)
    assert (refused.status_code, refused.json()) == (400, {"error": "invalid_grant"})
    assert refused.headers["Cache-Control"] == "no-store"
    assert redeem(web, code=given).status_code == 400


def test_a_code_works_once(web: httpx2.Client) -> None:
    given = code(web)
    assert [redeem(web, code=given).status_code for _ in range(2)] == [200, 400]
    assert redeem(web, code="a-guess").status_code == 400
    assert redeem(web).status_code == 400
    assert redeem(web, grant_type="").json() == {"error": "invalid_request"}


def test_codes_that_nobody_redeems_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(users=USERS)
    [allow] = [route for route in app.routes if isinstance(route, APIRoute) and route.name == "allow"]
    with serve(app) as server, httpx2.Client(base_url=server.http, trust_env=False, timeout=10) as web:
        codes = inspect.getclosurevars(allow.endpoint).nonlocals["codes"]
        monkeypatch.setattr(login_server, "CODE_SECONDS", -1)
        for _ in range(3):
            code(web)
        monkeypatch.undo()
        good = code(web)
        assert list(codes) == [good]


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "another"},
        {"redirect_uri": CLIENTS["todo-client"] + "/../elsewhere"},
        {"redirect_uri": "http://evil.example/"},
        {"code_challenge_method": "plain"},
    ],
)
def test_nobody_is_sent_anywhere_else(web: httpx2.Client, wrong: dict[str, str]) -> None:
    for answer in (
        web.get("/authorize", params=ASK | wrong),
        web.post("/authorize", params=ASK | wrong, data=LOGIN),
    ):
        assert answer.status_code == 400
        assert "location" not in answer.headers


def test_the_page_asks_for_name_and_password_and_may_not_be_framed(web: httpx2.Client) -> None:
    page = web.get("/authorize", params=ASK)
    assert 'name="password"' in page.text
    assert page.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("wrong", [{"password": "a guess"}, {"username": "ada"}])
def test_a_wrong_password_gets_nothing(web: httpx2.Client, wrong: dict[str, str]) -> None:
    assert web.post("/authorize", params=ASK, data=LOGIN | wrong).status_code == 401
    assert redeem(web, grant_type="password", **(LOGIN | wrong)).status_code == 400


def test_the_password_grant_can_be_left_out(web: httpx2.Client) -> None:
    assert redeem(web, grant_type="password", **LOGIN).status_code == 200
    with serve(create_app(users=USERS, password_grant=False), name="login without") as server:
        answer = httpx2.post(server.http + "/token", data={"grant_type": "password", **LOGIN}, trust_env=False)
    assert (answer.status_code, answer.json()) == (400, {"error": "unsupported_grant_type"})
