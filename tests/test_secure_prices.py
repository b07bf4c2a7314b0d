"""The secured prices: who gets in, for how long, and what the limits hold off."""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from wirelab import Server, serve
from wirelab.apps import secure_prices as app

DEADLINE = 10.0
SECRET = "0123456789abcdef" * 4
ADA = {"username": "ada", "password": "analytical engine"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(app.create_app(secret=SECRET, interval=0.02, origins=["https://friend.example"])) as running:
        yield running
        assert running.errors == []


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


Ask = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def ask(server: Server, session: requests.Session) -> Ask:
    def ask(method: str, path: str, token: str = "", **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return session.request(method, server.http + path, headers=headers, timeout=DEADLINE, **options)

    return ask


def token(user: str = "ada", *, seconds: float = 60, secret: str = SECRET, **claims: Any) -> str:
    said = {"sub": user, "aud": app.AUDIENCE, "exp": int(time.time() + seconds), **claims}
    return jwt.encode({name: value for name, value in said.items() if value is not None}, secret, "HS256")


def ticket(ask: Ask, user: str = "ada", *, seconds: float = 60, path: str = "/ticket") -> str:
    answer = ask("POST", path, token(user, seconds=seconds))
    answer.raise_for_status()
    return str(answer.json()["ticket"])


def listen(server: Server, ticket: str, **options: Any) -> ClientConnection:
    return connect(f"{server.ws}/prices?ticket={ticket}", proxy=None, compression=None, close_timeout=1, **options)


def refused(server: Server, ticket: str, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        listen(server, ticket, **options)
    return int(refusal.value.response.status_code)


def end_of(websocket: ClientConnection) -> tuple[int | None, str]:
    """Receive until the connection is closed; return the code and the reason."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            websocket.recv(timeout=DEADLINE)
    return websocket.close_code, websocket.close_reason or ""


# Who gets in


def test_imports_nothing_of_the_kit() -> None:
    nodes = list(ast.walk(ast.parse(Path(app.__file__).read_text("utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    others = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
    assert others == {"fastapi", "jwt", "pwdlib", "pydantic", "uvicorn"}


def test_the_right_password_gets_a_token_that_opens_the_callers_todos(ask: Ask) -> None:
    answer = ask("POST", "/login", data=ADA)
    assert answer.headers["Cache-Control"] == "no-store"
    mine = answer.json()["access_token"]
    claims = jwt.decode(mine, SECRET, algorithms=["HS256"], audience=app.AUDIENCE)
    assert claims["sub"] == "ada"
    assert claims["exp"] - claims["iat"] == app.TOKEN_SECONDS
    assert [todo["task"] for todo in ask("GET", "/todos", mine).json()] == ["Write the first program"]


def test_a_stranger_and_a_wrong_password_get_the_same_answer(ask: Ask) -> None:
    wrong = ask("POST", "/login", data=ADA | {"password": "difference engine"})
    stranger = ask("POST", "/login", data=ADA | {"username": "charles"})
    for answer in (wrong, stranger):
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert wrong.content == stranger.content


def test_a_stranger_waits_as_long_as_a_wrong_password(ask: Ask) -> None:
    def seconds(username: str) -> float:
        begun = time.perf_counter()
        ask("POST", "/login", data={"username": username, "password": "a guess"})
        return time.perf_counter() - begun

    # The shortest of several: whatever disturbs only adds.
    known, unknown = zip(*((seconds("ada"), seconds("charles")) for _ in range(5)), strict=True)
    assert 0.5 < min(unknown) / min(known) < 2


def test_logins_leave_the_event_loop_alone(ask: Ask, server: Server) -> None:
    with ThreadPoolExecutor(6) as pool:
        options = {"data": ADA | {"password": "a guess"}, "timeout": DEADLINE}
        logins = [pool.submit(requests.post, server.http + "/login", **options) for _ in range(6)]
        answers = 0
        while not all(login.done() for login in logins):
            answers += ask("GET", "/health").ok
        assert [login.result().status_code for login in logins] == [401] * 6
    # A loop that checks passwords itself answers once for each, at the most.
    assert answers > 12


def alter(token: str) -> str:
    """The same token for somebody else, under the old signature."""
    header, _, signature = token.split(".")
    claims = {"sub": "grace", "aud": app.AUDIENCE, "exp": int(time.time()) + 60}
    return f"{header}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"


BAD_TOKENS = {
    "none at all": lambda: "",
    "no token": lambda: "banana",
    "no ASCII": lambda: "bänänä",
    "another key": lambda: token(secret=SECRET[::-1]),
    "altered": lambda: alter(token()),
    "expired": lambda: token(seconds=-1),
    "for somebody else's service": lambda: token(aud="another"),
    "for nobody's service": lambda: token(aud=None),
    "for ever": lambda: token(exp=None),
    "of nobody": lambda: token(sub=None),
    "of a user who is gone": lambda: token("charles"),
    "without a signature": lambda: jwt.encode({"sub": "ada", "exp": 2**40, "aud": app.AUDIENCE}, None, "none"),
    "another algorithm": lambda: jwt.encode({"sub": "ada", "exp": 2**40, "aud": app.AUDIENCE}, SECRET, "HS512"),
}


@pytest.mark.parametrize("fault", BAD_TOKENS)
def test_a_token_that_is_not_good_gets_a_401(ask: Ask, fault: str) -> None:
    answer = ask("GET", "/todos", BAD_TOKENS[fault]().encode().decode("latin-1"))
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert ask("POST", "/ticket", BAD_TOKENS[fault]().encode().decode("latin-1")).status_code == 401


def test_a_token_in_the_address_is_not_looked_at(ask: Ask) -> None:
    for name in ("token", "access_token", "authorization"):
        assert ask("GET", f"/todos?{name}={token()}").status_code == 401


def test_somebody_elses_todo_is_answered_like_none_at_all(ask: Ask) -> None:
    made = ask("POST", "/todos", token("grace"), json={"task": "Find the moth", "owner": "ada"})
    assert made.status_code == 201
    path = made.headers["Location"]
    assert ask("GET", path, token("grace")).json() == made.json()
    hers, nobodys = ask("GET", path, token("ada")), ask("GET", "/todos/987654", token("ada"))
    assert (hers.status_code, nobodys.status_code) == (404, 404)
    assert made.json() not in ask("GET", "/todos", token("ada")).json()


# The WebSocket


def test_a_ticket_opens_one_socket_once(ask: Ask, server: Server) -> None:
    mine = ticket(ask)
    with listen(server, mine) as websocket:
        first = json.loads(websocket.recv(timeout=DEADLINE))
        assert first["symbol"] == "ACME"
        assert 95 <= first["price"] <= 105
        assert refused(server, mine) == 403
    assert refused(server, mine) == 403


def test_all_sockets_see_the_same_prices(ask: Ask, server: Server) -> None:
    with listen(server, ticket(ask)) as one, listen(server, ticket(ask, "grace")) as other:
        prices = [{websocket.recv(timeout=DEADLINE) for _ in range(20)} for websocket in (one, other)]
    assert len(prices[0] & prices[1]) >= 10


@pytest.mark.parametrize("instead", ["", "a-guess", token()], ids=["nothing", "a guess", "a token"])
def test_without_a_ticket_nothing_opens(server: Server, instead: str) -> None:
    assert refused(server, instead) == 403
    assert refused(server, f"&token={token()}") == 403


def test_a_ticket_is_good_for_as_long_as_it_says(ask: Ask, server: Server) -> None:
    short = ask("POST", "/ticket?seconds=0.2", token()).json()
    assert short["expires_in"] == 0.2
    threading.Event().wait(0.25)
    assert refused(server, short["ticket"]) == 403


def test_a_ticket_is_never_good_for_longer_than_it_may(ask: Ask) -> None:
    assert ask("POST", "/ticket?seconds=3600", token()).json()["expires_in"] == app.TICKET_SECONDS
    assert ask("POST", "/ticket", token(seconds=3)).json()["expires_in"] <= 3
    for seconds in ("0", "-1", "nan", "inf", "soon"):
        assert ask("POST", f"/ticket?seconds={seconds}", token()).status_code == 422


@pytest.mark.parametrize("origin", [None, "the server's own", "https://friend.example"])
def test_a_program_and_a_page_that_may_are_let_in(ask: Ask, server: Server, origin: Any) -> None:
    own = {"the server's own": server.http}
    with listen(server, ticket(ask), origin=own.get(origin, origin)) as websocket:
        assert websocket.recv(timeout=DEADLINE)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1", "https://friend.example.org"]
)
def test_a_page_of_strangers_is_refused_and_costs_no_ticket(ask: Ask, server: Server, origin: Any) -> None:
    mine = ticket(ask)
    assert refused(server, mine, origin=origin) == 403
    with listen(server, mine) as websocket:
        assert websocket.recv(timeout=DEADLINE)


def test_a_socket_closes_when_its_token_expires(ask: Ask, server: Server) -> None:
    expires = int(time.time()) + 2
    mine = ticket(ask, seconds=expires - time.time() + 0.5)
    with listen(server, mine) as websocket, listen(server, ticket(ask)) as other:
        code, reason = end_of(websocket)
        assert code == 1008
        assert "expired" in reason
        assert expires - 0.2 < time.time() < expires + 5
        assert other.recv(timeout=DEADLINE)


# Limits


@pytest.mark.parametrize("message", ["€" * 2000, b"\0" * 5000], ids=["text", "bytes"])
def test_an_overlong_message_ends_with_1009(ask: Ask, server: Server, message: Any) -> None:
    with listen(server, ticket(ask)) as websocket:
        websocket.send("x" * 4000)
        websocket.send(message)
        assert end_of(websocket)[0] == 1009


def test_a_flood_of_messages_ends_with_1008(ask: Ask, server: Server) -> None:
    with listen(server, ticket(ask)) as websocket:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(100):
                websocket.send("Hello?")
        code, reason = end_of(websocket)
        assert code == 1008
        assert "a second" in reason


def test_a_user_may_have_so_many_sockets_and_again_when_they_are_closed(ask: Ask, server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(app.MAX_SOCKETS):
            stack.enter_context(listen(server, ticket(ask, "grace")))
        with listen(server, ticket(ask, "grace")) as websocket:
            assert end_of(websocket)[0] == 1013
        with listen(server, ticket(ask, "ada")) as websocket:
            assert websocket.recv(timeout=DEADLINE)
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        with listen(server, ticket(ask, "grace")) as websocket, contextlib.suppress(ConnectionClosed):
            websocket.recv(timeout=DEADLINE)
            return
    raise AssertionError("the places of closed sockets stay taken")


def test_a_user_may_have_so_many_tickets_waiting(session: requests.Session) -> None:
    with serve(app.create_app(secret=SECRET)) as server:
        codes = {"ada": [], "grace": []}
        for user in ["ada"] * (app.MAX_TICKETS + 1) + ["grace"]:
            headers = {"Authorization": f"Bearer {token(user)}"}
            answer = session.post(server.http + "/ticket", headers=headers, timeout=DEADLINE)
            codes[user].append(answer.status_code)
    assert codes == {"ada": [200] * app.MAX_TICKETS + [429], "grace": [200]}
    assert int(answer.headers.get("Retry-After", 30)) <= app.TICKET_SECONDS


@pytest.mark.parametrize("body", [b'{"task": NaN}', rb'{"task": "\ud800"}', b"{"])
def test_what_cannot_be_repeated_is_refused_all_the_same(server: Server, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
    answer = requests.post(server.http + "/todos", body, headers=headers, timeout=DEADLINE)
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


def test_an_overlong_body_is_refused(ask: Ask) -> None:
    assert ask("POST", "/login", data=ADA | {"password": "x" * 100_000}).status_code == 413


def test_the_same_application_can_be_served_again() -> None:
    service = app.create_app(secret=SECRET)
    for _ in range(2):
        with serve(service) as server, ThreadPoolExecutor(4) as pool:
            logins = [
                pool.submit(requests.post, server.http + "/login", data=ADA, timeout=DEADLINE) for _ in range(4)
            ]
            assert [login.result().status_code for login in logins] == [200] * 4


def test_runs_from_a_shell_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for number, part in enumerate(certificate.cert_chain_pems):
        part.write_to_path(tmp_path / "cert.pem", append=number > 0)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    files = ["--certfile", tmp_path / "cert.pem", "--keyfile", tmp_path / "key.pem"]
    command = [sys.executable, "-u", "-m", "wirelab.apps.secure_prices", "--port", "0", *map(str, files)]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        deadline = threading.Timer(60, process.kill)
        deadline.start()
        try:
            said, port = "", None
            while not port:
                line = process.stdout.readline()  # type: ignore[union-attr]
                assert line, said
                said += line
                port = re.search(r"https://127\.0\.0\.1:(\d+)", said)
            with requests.Session() as session:
                session.trust_env = False
                session.verify = str(tmp_path / "authority.pem")
                answer = session.post(f"https://127.0.0.1:{port[1]}/login", data=ADA, timeout=DEADLINE)
                assert answer.status_code == 200
        finally:
            deadline.cancel()
            process.kill()
