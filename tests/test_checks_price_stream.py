"""Lab 02: right answers of any kind score in full, and each mistake is found by the check that it belongs to.

Judging is waiting: all answers are judged at the same time, once, and each test looks at its own results.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import runpy
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab_answers import answers, must_fail, wrong_ones

from wirelab.authoring import STUB, without_solution
from wirelab.checks import LABS, Lab, Result
from wirelab.checks.local import LocalTarget
from wirelab.checks.price_clients import price_flaw, update_flaw

NAME = "02_price_stream"
LAB: Lab = LABS[NAME]
SOLUTION = Path(__file__).parents[1] / "solutions" / f"{NAME}.ipynb"
RIGHT, WRONG = answers(NAME, "right"), answers(NAME, "wrong")
# How many answers are judged at a time: they wait more than they work.
AT_A_TIME = 8
STEPS = ("subscribe", "refuse", "share", "survive", "follow")

pytestmark = [pytest.mark.timing, pytest.mark.timeout(300)]


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


async def judge(objects: dict[str, Any], *exercises: str) -> list[Result]:
    results = []
    for exercise in exercises:
        async with LocalTarget(LAB, objects) as target:
            results += await LAB.run(exercise, target)
    return results


def judge_some(objects: dict[str, Any], *exercises: str) -> list[Result]:
    return asyncio.run(judge(objects, *exercises))


PREFIXES = [STEPS[:count] for count in range(len(STEPS) + 1)]
ALONE = [("refuse",), ("follow",), ("subscribe", "survive"), ("refuse", "share")]


@pytest.fixture(scope="module")
def judged() -> Mapping[object, list[Result]]:
    """The results of every answer by its path, and of the notebook by the exercises that are solved in it."""
    works: dict[object, dict[str, Any]] = {path: runpy.run_path(str(path)) for path in [*RIGHT, *WRONG]}
    works |= {solved: so_far(solved) for solved in [*PREFIXES, *ALONE]}

    async def run() -> dict[object, list[Result]]:
        turn = asyncio.Semaphore(AT_A_TIME)

        async def judge_in_turn(first: int, objects: dict[str, Any]) -> list[Result]:
            # Some exercises are more work than others: not everybody shall be at the same one.
            async with turn:
                return await judge(objects, *STEPS[first % 5 :], *STEPS[: first % 5])

        results = await asyncio.gather(*(judge_in_turn(*work) for work in enumerate(works.values())))
        return dict(zip(works, results, strict=True))

    return asyncio.run(run())


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("answer", RIGHT, ids=name)
def test_right_answer_scores_in_full(answer, judged):
    assert not wrong_ones(judged[answer])
    assert sum(result.score for result in judged[answer]) == 10


@pytest.mark.parametrize("answer", WRONG, ids=name)
def test_wrong_answer_is_found_by_its_check_alone(answer, judged):
    found = {result.id: result for result in judged[answer] if not result.passed}
    expected = must_fail(answer)
    assert found.keys() == expected.keys(), wrong_ones(judged[answer])
    for check, words in expected.items():
        message = found[check].message
        assert words in message
        if found[check].passed is False:
            assert "sent " in message.lower()
            assert "expected " in message


def test_the_bank_holds_the_mistakes_of_the_lab():
    assert {
        "price_for_each_connection",
        "closes_with_1000",
        "never_reads",
        "crashed_send_ends_the_loop",
        "follow_swallows_the_error",
        "follow_stops_after_the_first",
    } <= {path.stem for path in WRONG}
    assert len(RIGHT) >= 2


@pytest.mark.parametrize("solved", [*PREFIXES, *ALONE], ids="+".join)
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
