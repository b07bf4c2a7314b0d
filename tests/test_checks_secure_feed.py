"""Lab 07: how its checks meet what is half done, slow or no answer at all, and what they forge."""

from __future__ import annotations

import asyncio
import os
import runpy
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import nbformat
import pytest
from fastapi import FastAPI
from lab_answers import answers, judge, judge_together, wrong_ones
from starlette.responses import JSONResponse

from wirelab.apps import secure_prices
from wirelab.authoring import STUB, without_solution
from wirelab.checks import LABS, CannotJudge, Result, exchange, secure_service, secure_trials
from wirelab.checks.secure_service import AUDIENCE, OWNED, PASSWORDS, SECRET, Token, minimal, sign

NAME = "07_secure_feed"
LAB = LABS[NAME]
SOLUTION = Path(__file__).parents[1] / "solutions" / f"{NAME}.ipynb"
RIGHT = {path.stem: path for path in answers(NAME, "right")}


def given(name: str) -> dict[str, Any]:
    """A right answer's names."""
    return runpy.run_path(str(RIGHT[name]))


def so_far(*solved: str) -> dict[str, Any]:
    """What the lab's notebook defines when these answer cells are solved and the others are stubs."""
    space: dict[str, Any] = {}
    for cell in nbformat.read(SOLUTION, as_version=4).cells:
        own = cell.metadata.get("nbgrader")
        if not own or own.grade:
            continue
        source = cell.source
        if own.solution and cell.id not in solved:
            source = without_solution(source, STUB)
        starts = ("server = ", "hall_server = ", "health_answer = ")
        lines = [line for line in source.split("\n") if not line.startswith(starts)]
        exec(compile("\n".join(lines), cell.id, "exec"), space)
    return space


# The notebook and the checks


def test_ten_points():
    assert LAB.points == 10
    assert tuple(LAB.exercises) == ("login", "token", "ticket", "origin", "expiry")
    assert {exercise.points for exercise in LAB.exercises.values()} == {2}


def test_the_checks_know_what_the_notebook_gives():
    space = so_far()
    for name in ("SECRET", "AUDIENCE", "TOKEN_SECONDS", "TICKET_SECONDS", "MAX_MESSAGE"):
        assert space[name] == getattr(secure_service, name)
    for user, password in PASSWORDS.items():
        assert space["hasher"].verify(password, space["USERS"][user])
        mine = {todo["id"]: todo["task"] for todo in space["todos"].values() if todo["owner"] == user}
        assert mine == OWNED[user]


def the_program() -> FastAPI:
    todos = [("ada", OWNED["ada"][1]), ("grace", OWNED["grace"][2]), ("ada", OWNED["ada"][3])]
    users = so_far()["USERS"]
    return secure_prices.create_app(secret=SECRET, users=users, todos=todos, audience=AUDIENCE, interval=0.05)


TICKETS = ("token-answer", "ticket-sell-answer", "ticket-take-answer")


@pytest.fixture(scope="module")
def judged() -> Mapping[str, list[Result]]:
    """The results of several works, judged at the same time."""
    works = {
        "nothing": {"app": FastAPI()},
        "the lesson's program": {"app": the_program()},
        "first steps": so_far("login-token-answer", "token-answer"),
        "a ticket half done": so_far("token-answer", "ticket-sell-answer"),
        "the later exercises": so_far(*TICKETS, "origin-answer", "expiry-long-answer", "expiry-clock-answer"),
    }
    return judge_together(NAME, works)


def passed(results: list[Result], exercise: str) -> dict[str, bool | None]:
    """Whether each check of an exercise passed."""
    return {one.id.partition(".")[2]: one.passed for one in results if one.id.startswith(exercise)}


def test_the_program_of_the_lesson_passes(judged):
    assert not wrong_ones(judged["the lesson's program"])


# What is half done


def test_an_empty_application_is_not_attempted(judged):
    results = judged["nothing"]
    assert {result.passed for result in results} == {None}
    assert all("Not attempted: " in result.message for result in results), [r.message for r in results]


def test_a_first_token_passes_and_the_passwords_are_not_attempted(judged):
    found = passed(judged["first steps"], "login")
    assert found == {"token": True, "refused": None, "time": None, "crowd": None}


def test_a_token_without_its_owner_is_half_an_exercise(judged):
    found = passed(judged["first steps"], "token")
    assert {id for id, well in found.items() if well is None} == {"todos", "owner"}
    assert False not in found.values()


def test_tickets_that_are_sold_and_not_taken_are_not_attempted(judged):
    for exercise in ("ticket", "origin", "expiry"):
        found = [one for one in judged["a ticket half done"] if one.id.startswith(exercise)]
        assert {one.passed for one in found} == {None}
        assert "Not attempted: " in found[0].message


def test_each_later_exercise_needs_a_token_and_a_ticket_only(judged):
    for exercise in ("ticket", "origin", "expiry"):
        assert all(passed(judged["the later exercises"], exercise).values())


# What is slow, or is no answer


def test_a_service_that_sells_ordinary_tickets_only_is_waited_for(monkeypatch):
    monkeypatch.setattr(secure_trials, "TICKET_SECONDS", 2)
    source = RIGHT["starlette_functions"].read_text("utf-8")
    for old, new in (
        ("TICKET_SECONDS = 900, 30", "TICKET_SECONDS = 900, 2"),
        ('request.query_params.get("seconds", TICKET_SECONDS)', "TICKET_SECONDS"),
        (', "expires_in": seconds', ""),
    ):
        assert old in source
        source = source.replace(old, new)
    for text, well in ((source, True), (source.replace("time.monotonic() < good_until", "claims"), False)):
        space: dict[str, Any] = {}
        exec(compile(text, "answer", "exec"), space)
        assert passed(judge(NAME, space, "ticket"), "ticket")["time"] is well


def test_a_ticket_that_a_busy_machine_shows_too_late_is_bought_again(monkeypatch):
    monkeypatch.setattr(secure_trials, "TICKET_SECONDS", 2)

    async def shown(late: int) -> int:
        sold = 0

        class Busy:
            async def ticket(self) -> str:
                nonlocal sold
                sold += 1
                await asyncio.sleep(2 if sold <= late else 0)
                return "ticket"

            async def show(self, ticket: str, *, told: str) -> secure_service.Visit:
                return secure_service.Visit(told, 403)

        await secure_trials.shown_in_time(Busy(), 0.1)
        return sold

    for late, tries in ((0, 1), (1, 2)):
        assert asyncio.run(shown(late)) == tries
    with pytest.raises(CannotJudge, match="too busy"):
        asyncio.run(shown(2))


def test_too_many_requests_are_waited_out():
    service, count = given("bare_asgi")["app"], 0

    async def busy(scope, receive, send):
        nonlocal count
        count += scope["type"] == "http"
        if scope["type"] == "http" and scope["path"] != "/health" and count % 5 == 0:
            await JSONResponse({"detail": "slow down"}, 429, {"Retry-After": "0"})(scope, receive, send)
        else:
            await service(scope, receive, send)

    assert not wrong_ones(judge(NAME, {"app": busy}, "token", "ticket"))


def test_a_login_that_hangs_is_named_and_costs_its_exercise_only(monkeypatch):
    monkeypatch.setattr(exchange, "ANSWER_DEADLINE", 1.0)
    monkeypatch.setattr(exchange, "IMPATIENT_DEADLINE", 0.3)
    service = given("bare_asgi")["app"]

    async def hangs(scope, receive, send):
        if scope.get("path") == "/login":
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            await service(scope, receive, send)

    found = wrong_ones(judge(NAME, {"app": hangs}, "login", "token"))
    assert {check.partition(".")[0] for check in found} == {"login"}
    assert "got no answer within 1 seconds" in found["login.token"] or "hangs" in found["login.token"]


def test_a_blocked_server_is_given_up(monkeypatch):
    monkeypatch.setattr(exchange, "ANSWER_DEADLINE", 0.5)
    monkeypatch.setattr(exchange, "IMPATIENT_DEADLINE", 0.2)
    monkeypatch.setattr("wirelab.checks.price_clients.OPEN_DEADLINE", 0.5)

    async def blocks(scope, receive, send):
        if scope["type"] != "lifespan":
            time.sleep(600)  # noqa: ASYNC251

    results = judge(NAME, {"app": blocks})
    assert not [result for result in results if result.passed]
    assert "no answer within" in results[0].message


def test_a_socket_that_opens_and_says_nothing_is_no_stream(monkeypatch):
    monkeypatch.setattr(secure_service, "PRICE_DEADLINE", 0.3)
    service = given("bare_asgi")["app"]

    async def mute(scope, receive, send):
        async def send_nothing(message):
            if message["type"] != "websocket.send":
                await send(message)

        await service(scope, receive, send_nothing)

    found = wrong_ones(judge(NAME, {"app": mute}, "ticket"))
    assert "no message, and the connection stayed open" in found["ticket.opens"]
    assert "Could not run: no ticket opens a socket" in found["ticket.once"]


def test_a_process_that_ends_is_named():
    service = given("bare_asgi")["app"]

    async def ends(scope, receive, send):
        if scope["type"] == "websocket":
            os._exit(1)
        await service(scope, receive, send)

    found = wrong_ones(judge(NAME, {"app": ends}, "token", "ticket"))
    assert not [check for check in found if check.startswith("token")]
    assert "got no answer" in found["ticket.opens"]


def test_what_refuses_everybody_earns_nothing_for_it():
    async def refuses(scope, receive, send):
        if scope["type"] == "http":
            await JSONResponse({"detail": "no"}, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})

    results = judge(NAME, {"app": refuses}, "token", "ticket", "origin", "expiry")
    assert not [result.id for result in results if result.passed]


def test_what_a_socket_raises_is_shown():
    space = given("starlette_functions")
    space["prices"].__globals__["send_prices"] = None
    assert (
        "TypeError: 'NoneType' object is not callable" in wrong_ones(judge(NAME, space, "ticket"))["ticket.opens"]
    )


def test_a_crash_costs_the_exercise_that_it_is_in():
    """What exercise token's code raises is wrong there, and what the ticket's code raises is wrong there."""
    space = so_far(*TICKETS, "token-own-answer", "token-new-answer")
    space["claims_of"] = None
    found = {result.id: result for result in judge(NAME, space, "token", "ticket")}
    assert found["token.todos"].passed is False
    assert "TypeError" in found["token.todos"].message
    assert found["ticket.opens"].passed is None
    space = so_far(*TICKETS)
    space["sell_ticket"] = None
    found = {result.id: result for result in judge(NAME, space, "ticket")}
    assert found["ticket.opens"].passed is False
    assert "TypeError" in found["ticket.opens"].message


# Tokens and times


def test_forged_tokens_are_what_a_library_makes():
    claims = {"sub": "ada", "aud": AUDIENCE, "exp": int(time.time()) + 60}
    assert jwt.decode(sign(claims), SECRET, algorithms=["HS256"], audience=AUDIENCE) == claims
    for algorithm in ("HS256", "HS512"):
        token = Token.read(jwt.encode(claims, SECRET, algorithm, {"kid": "1"}))
        assert token is not None
        assert (token.claims, token.genuine) == (claims, True)
        assert jwt.get_unverified_header(token.forged(sub="grace")) == token.header
    unsigned = minimal("ada").forged(header={"alg": "none"})
    assert jwt.decode(unsigned, options={"verify_signature": False}, audience=AUDIENCE)["sub"] == "ada"


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "e30.e30", "W10.e30.", "ä.ö.ü", sign({}) + "!"])
def test_what_is_no_token_is_none(text):
    assert Token.read(text) is None


def test_a_token_of_another_key_is_not_genuine():
    token = Token.read(sign({"sub": "ada"}, "another key"))
    assert token is not None
    assert not token.genuine


@pytest.mark.parametrize(
    ("known", "unknown", "alike"),
    [
        ([10, 11, 30], [10, 12, 50], True),
        ([10, 11, 12], [1, 2, 2], False),
        ([10, 11, 12], [90, 99, 95], False),
        # One lucky sample; many who wait for a processor.
        ([4, 30, 40], [12, 31, 35], True),
        ([10, 10, 10], [11, 11, 11], True),
    ],
)
def test_times_are_alike_unless_both_looks_tell_them_apart(known, unknown, alike):
    assert secure_trials.Times(known, unknown).alike is alike
