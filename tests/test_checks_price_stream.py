"""Lab 02: how its checks meet what is half done, and what is no answer at all."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab_answers import judge, judge_together, wrong_ones

from wirelab.authoring import STUB, without_solution
from wirelab.checks import LABS, Lab, Result
from wirelab.checks.price_clients import Stream, price_flaw, update_flaw

NAME = "02_price_stream"
LAB: Lab = LABS[NAME]
SOLUTION = Path(__file__).parents[1] / "solutions" / f"{NAME}.ipynb"
STEPS = ("subscribe", "refuse", "share", "survive", "follow")


def so_far(solved: tuple[str, ...]) -> dict[str, Any]:
    """What the lab's notebook defines when these exercises are solved and the others are stubs."""
    space: dict[str, Any] = {}
    for cell in nbformat.read(SOLUTION, as_version=4).cells:
        own = cell.metadata.get("nbgrader")
        if not own or own.grade:
            continue
        source = cell.source
        if own.solution and cell.id.partition("-")[0] not in solved:
            source = without_solution(source, STUB)
        lines = [line for line in source.split("\n") if not line.startswith(("server = ", "article = "))]
        exec(compile("\n".join(lines), cell.id, "exec"), space)
    return space


def judge_some(objects: dict[str, Any], *exercises: str) -> list[Result]:
    return judge(NAME, objects, *exercises)


ALONE = [("refuse",), ("share",), ("follow",), ("subscribe", "survive")]


@pytest.fixture(scope="module")
def judged() -> Mapping[tuple[str, ...], list[Result]]:
    """The results of the notebook by the exercises that are solved in it."""
    return judge_together(NAME, {solved: so_far(solved) for solved in ALONE})


@pytest.mark.parametrize("solved", ALONE, ids="+".join)
def test_exercise_that_nobody_began_is_not_attempted(solved, judged):
    needs = {"share": "subscribe", "survive": "share"}
    earned = {exercise for exercise in solved if needs.get(exercise, exercise) in solved}
    for result in judged[solved]:
        if result.id.partition(".")[0] in earned:
            assert result.passed, result.message
        else:
            assert result.passed is None
            assert "Not attempted: " in result.message


def test_ten_points():
    assert LAB.points == 10
    assert tuple(LAB.exercises) == STEPS
    assert {exercise.points for exercise in LAB.exercises.values()} == {2}


def test_process_that_ends_is_named():
    async def ends(websocket):
        await websocket.recv()
        os._exit(1)

    async def follow(uri, token, symbol):
        os._exit(1)
        yield

    found = wrong_ones(judge_some({"price_stream": ends, "follow": follow}, "subscribe", "follow"))
    # Of the two that subscribe, the second one may find nobody there any more.
    cut_off = "no close code, as when a line is cut", "Does your code end or block the server?"
    assert any(words in found["subscribe.update"] for words in cut_off)
    assert "ProcessEnded" in found["follow.updates"]


def test_blocked_server_is_given_up(monkeypatch):
    monkeypatch.setattr("wirelab.checks.price_clients.OPEN_DEADLINE", 0.5)
    monkeypatch.setattr("wirelab.checks.price_server.FIRST_DEADLINE", 0.5)

    async def blocks(websocket):
        time.sleep(600)  # noqa: ASYNC251

    async def follow(uri, token, symbol):
        time.sleep(600)  # noqa: ASYNC251
        yield

    begun = time.monotonic()
    found = wrong_ones(judge_some({"price_stream": blocks, "follow": follow}, "subscribe", "follow"))
    assert time.monotonic() - begun < 40
    assert len(found) == 7
    assert "block the server?" in found["subscribe.pace"]
    assert "it did nothing for 0.5 seconds" in found["follow.updates"]


def test_subscription_that_a_busy_machine_delays_is_sent_again(monkeypatch):
    late = [True]

    async def connect_and_dawdle(stream, symbol):
        client = await stream.connect()
        if late:
            late.clear()
            await client.ended(3)
        await client.subscribe(symbol)
        return client

    monkeypatch.setattr(Stream, "subscribe", connect_and_dawdle)
    assert not wrong_ones(judge_some(so_far(STEPS), "subscribe"))
    assert not late


def test_flood_is_cut_off():
    async def floods(websocket):
        symbol = json.loads(await websocket.recv())["symbol"]
        with contextlib.suppress(Exception):
            while True:
                await websocket.send(json.dumps({"symbol": symbol, "price": 100}))

    async def follow(uri, token, symbol):
        while True:
            yield {"symbol": symbol, "price": 100}

    begun = time.monotonic()
    found = wrong_ones(judge_some({"price_stream": floods, "follow": follow}, "subscribe", "follow"))
    assert time.monotonic() - begun < 40
    assert "is more than one sent before each pause?" in found["subscribe.pace"]
    assert "no connection" in found["follow.updates"]
    assert {"follow.error", "follow.end", "follow.broken"} <= found.keys()


@pytest.mark.parametrize(
    ("follow", "words"),
    [(lambda uri, token, symbol: 42, "gave a int"), (42, "not callable"), (lambda uri: None, "3 were given")],
    ids=["number", "no function", "too few arguments"],
)
def test_what_is_no_generator_is_named(follow, words):
    assert words in wrong_ones(judge_some({"follow": follow}, "follow"))["follow.updates"]


def test_missing_deliverables_are_not_started():
    results = judge_some({}, *STEPS)
    assert {result.passed for result in results} == {None}
    assert "there is no price_stream" in results[0].message
    assert "there is no follow" in results[-1].message


@pytest.mark.parametrize("price", ["95", "105", "99.5", "99.50", "1e2", "100.00"])
def test_number_that_is_a_price(price):
    assert not price_flaw(f'{{"symbol": "A", "price": {price}}}')


@pytest.mark.parametrize(
    "price", ["94.99", "105.01", "99.999", "99.10000000000001", '"99.5"', "true", "null", "1e400", "-1e-400"]
)
def test_number_that_is_no_price(price):
    assert price_flaw(f'{{"symbol": "A", "price": {price}}}')


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('{"symbol": "A", "price": 99}', ""),
        (b'{"symbol": "A", "price": 99}', ""),
        ('{"symbol": "a", "price": 99}', 'its symbol is "a", not "A"'),
        ('{"symbol": "A"}', "it has no price"),
        ('{"symbol": "A", "price": 99, "at": 1}', "it has at besides"),
        ('["A", 99]', "no JSON object"),
        ('{"symbol": "A", "price": NaN}', "no JSON"),
        ("[" * 100_000, "no JSON"),
        (b"\xff\xfe", "no JSON"),
    ],
)
def test_shape_of_an_update(message, words):
    assert words in update_flaw(message, "A")
    assert bool(words) == bool(update_flaw(message, "A"))
