"""Lab 06: how its checks meet what hangs, crashes, floods or is missing, and what their messages tell."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import pytest
from lab_answers import judge, judge_exercises
from websockets.asyncio.client import connect

from wirelab.checks import LABS, Lab, Result
from wirelab.checks import feed_protocol as protocol
from wirelab.checks.feed_calls import Absences
from wirelab.checks.feed_protocol import (
    answer_flaw,
    gap,
    publish,
    subscribe,
    subscribed,
    subscription_flaw,
    update,
)

NAME = "06_reliable_feed"
LAB: Lab = LABS[NAME]
ROOMS, CLIENT = ("topics", "slow", "heartbeat"), ("reconnect", "resume")


async def says_nothing(websocket: Any) -> None:
    await asyncio.Event().wait()


async def crashes(websocket: Any) -> None:
    raise LookupError("nothing here")


async def ends_the_process(websocket: Any) -> None:
    os._exit(1)


async def blocks(websocket: Any) -> None:
    time.sleep(30)  # noqa: ASYNC251


async def floods(websocket: Any) -> None:
    await websocket.send('{"type": "welcome"}')
    while True:
        await websocket.send(json.dumps(update("flood", 1, "x" * 1000)))


async def sends_garbage(websocket: Any) -> None:
    async for _ in websocket:
        await websocket.send(b"\xff\xfe")
        await websocket.send("[" * 3000)


HANDLERS = (says_nothing, crashes, ends_the_process, blocks, floods, sends_garbage)


async def waits_for_ever(uri: str, token: str, symbols: list[str]) -> Any:
    await asyncio.Event().wait()
    yield


async def yields_for_ever(uri: str, token: str, symbols: list[str]) -> Any:
    while True:
        yield {"type": "update", "symbol": symbols[0], "seq": 1}
        await asyncio.sleep(0)


async def hammers(uri: str, token: str, symbols: list[str]) -> Any:
    while True:
        try:
            async with connect(uri, proxy=None) as websocket:
                await websocket.send(json.dumps(protocol.hello(token)))
                for symbol in symbols:
                    await websocket.send(json.dumps(subscribe(symbol)))
                async for text in websocket:
                    yield json.loads(text)
        except Exception:
            continue


async def talks_without_end(uri: str, token: str, symbols: list[str]) -> Any:
    async with connect(uri, proxy=None) as websocket:
        while True:
            await websocket.send("hello")
    yield


def is_no_generator(uri: str, token: str, symbols: list[str]) -> Any:
    return [uri]


async def exits(uri: str, token: str, symbols: list[str]) -> Any:
    os._exit(1)
    yield


CLIENTS = (waits_for_ever, yields_for_ever, hammers, talks_without_end, is_no_generator, exits)


@pytest.fixture(scope="module")
def judged() -> Mapping[Any, list[Result]]:
    """Strange handlers and clients, judged at the same time."""

    async def judge_all() -> list[list[Result]]:
        return await asyncio.gather(
            *(judge_exercises(NAME, {"rooms": handler}, "topics", "reconnect") for handler in HANDLERS),
            *(judge_exercises(NAME, {"stay_connected": client}, "topics", "reconnect") for client in CLIENTS),
            judge_exercises(NAME, {"rooms": floods}, "slow"),
            judge_exercises(NAME, {"stay_connected": waits_for_ever}, "resume"),
            judge_exercises(NAME, {}),
        )

    return dict(zip([*HANDLERS, *CLIENTS, "flooded", "waiting", "nothing"], asyncio.run(judge_all()), strict=True))


def of(results: list[Result], exercises: tuple[str, ...]) -> list[Result]:
    return [result for result in results if result.id.partition(".")[0] in exercises]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("handler", HANDLERS)
def test_no_handler_breaks_the_checks_or_passes(judged: Mapping[Any, list[Result]], handler: Any) -> None:
    for result in of(judged[handler], ROOMS) + judged["flooded"]:
        assert not result.passed, result
        assert "the check itself broke" not in result.message
    for result in of(judged[handler], CLIENT):
        assert result.message == "Could not run: there is no stay_connected()."


@pytest.mark.timeout(200)
@pytest.mark.parametrize("client", CLIENTS)
def test_no_client_breaks_the_checks_or_passes(judged: Mapping[Any, list[Result]], client: Any) -> None:
    for result in of(judged[client], CLIENT) + judged["waiting"]:
        # Who hammers does come back.
        assert not result.passed or client is hammers, result
        assert "the check itself broke" not in result.message
    for result in of(judged[client], ROOMS):
        assert result.message == "Could not run: there is no rooms."


def test_what_is_missing_is_named(judged: Mapping[Any, list[Result]]) -> None:
    assert {result.passed for result in judged["nothing"]} == {None}
    assert {result.message for result in judged["nothing"]} == {
        "Could not run: there is no rooms.",
        "Could not run: there is no stay_connected().",
    }


@pytest.mark.parametrize(
    ("subject", "check", "words"),
    [
        (crashes, "topics.answers", "your code raised LookupError: nothing here"),
        (says_nothing, "topics.answers", 'expected {"type": "welcome"}'),
        (ends_the_process, "topics.answers", "no close code"),
        (hammers, "reconnect.delays", "expected them to grow"),
        (is_no_generator, "reconnect.returns", "not an async generator"),
        (waits_for_ever, "reconnect.returns", "no connection came"),
        (talks_without_end, "reconnect.returns", "it is no JSON object"),
        (exits, "reconnect.returns", "the process that ran the code ended"),
    ],
)
def test_message_names_the_symptom(
    judged: Mapping[Any, list[Result]], subject: Any, check: str, words: str
) -> None:
    [message] = [result.message for result in judged[subject] if result.id == check]
    assert words in message


def test_a_stub_that_is_no_generator_is_not_attempted() -> None:
    async def stay_connected(uri: str, token: str, symbols: list[str]) -> None:
        raise NotImplementedError

    results = judge(NAME, {"stay_connected": stay_connected}, *CLIENT)
    assert all(result.message.startswith("Not attempted: ") for result in results)


def test_flaws_of_messages_are_told() -> None:
    assert answer_flaw(subscribe("A"), subscribed("A", 0)) == ""
    assert "its type is" in answer_flaw(subscribe("A"), protocol.error("no"))
    assert "its symbol is" in answer_flaw(subscribe("A"), subscribed("B", 0))
    assert "seq" in answer_flaw(publish("A", 1), {"type": "published", "symbol": "A", "seq": "1"})
    assert "seq" in answer_flaw(subscribe("A"), {"type": "subscribed", "symbol": "A", "seq": True})
    assert subscription_flaw(subscribe("A") | {"after": None}) == ""
    assert "after" in subscription_flaw(subscribe("A") | {"after": "7"})
    assert "symbol" in subscription_flaw({"type": "subscribe"})
    assert gap("A", 1, 2).keys() == {"type", "symbol", "after", "seq"}


def test_delays_are_judged_by_their_ratios() -> None:
    bounds = [0.05 * 2**rank for rank in range(6)]
    parts = [0.1 + 0.8 * number / 11 for number in range(12)]
    full = Absences([[part * bound for bound in bounds] for part in parts], anew=[0.05 * part for part in parts])
    half = Absences([[(0.5 + part / 2) * bound for bound in bounds] for part in parts], anew=[0.05] * 12)
    fixed = Absences([bounds] * 12, anew=[1.6] * 12)
    constant = Absences([[0.3 * part for _ in bounds] for part in parts], anew=[0.3] * 12)
    assert [seen.grows for seen in (full, half, fixed, constant)] == [True, True, True, False]
    assert [seen.jitter > 0.1 for seen in (full, half, fixed, constant)] == [True, True, False, True]
    assert [seen.starts_over for seen in (full, half, fixed)] == [True, True, False]
