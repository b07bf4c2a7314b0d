"""Lab 03: how its checks meet stopwatches that hang, crash, flood or are missing; how sure its intervals are."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import re
import socket
import time
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import requests
from lab_answers import answers, deliverables, judge, wrong_ones

from wirelab.checks import LABS, Lab
from wirelab.checks.latency import fault_of, fits
from wirelab.checks.latency_samples import FEWEST, MOST, many_sets
from wirelab.checks.latency_server import CONNECT, HOLDS, REST, Question, Run, asks_to_close, http_server
from wirelab.checks.transcript import recording

NAME = "03_latency"
LAB: Lab = LABS[NAME]
FUNCTIONS = {"rest": "rest_round_trips", "websocket": "websocket_round_trips", "connect": "connection_costs"}

Floats = np.ndarray[Any, np.dtype[np.float64]]
Interval = Callable[[Floats], tuple[float, float]]


def test_ten_points() -> None:
    assert LAB.points == 10
    assert tuple(LAB.exercises) == ("rest", "websocket", "connect", "summary")
    assert {exercise.points for exercise in LAB.exercises.values()} == {2.5}


# How often the check of the intervals errs


def errors(reach: float) -> Interval:
    """So many standard errors to either side of the mean."""

    def interval(samples: Floats) -> tuple[float, float]:
        margin = reach * samples.std(ddof=1) / math.sqrt(len(samples))
        return samples.mean() - margin, samples.mean() + margin

    return interval


def resampled(samples: Floats, draws: int = 500) -> Floats:
    rng = np.random.default_rng(len(samples))
    return samples[rng.integers(len(samples), size=(draws, len(samples)))].mean(axis=1)


def bootstrap(samples: Floats) -> tuple[float, float]:
    low, high = np.quantile(resampled(samples), [0.025, 0.975])
    return low, high


def bca(samples: Floats) -> tuple[float, float]:
    """Bias-corrected and accelerated: Efron and Tibshirani, Introduction to the Bootstrap (1993), 14.3."""
    means, bell = resampled(samples), NormalDist()
    bias = bell.inv_cdf(float(np.clip((means < samples.mean()).mean(), 0.001, 0.999)))
    left_out = (samples.sum() - samples) / (len(samples) - 1)
    off = left_out.mean() - left_out
    skew = (off**3).sum() / (6 * (off**2).sum() ** 1.5)
    shares = [bell.cdf(bias + (bias + z) / (1 - skew * (bias + z))) for z in (-1.96, 1.96)]
    low, high = np.quantile(means, shares)
    return low, high


def held(interval: Interval, seed: int) -> int:
    """In how many of the check's sets an interval holds the mean."""
    drawn = many_sets(np.random.default_rng(seed))
    limits = [interval(samples) for _, samples in drawn]
    return sum(low <= mean <= high for (mean, _), (low, high) in zip(drawn, limits, strict=True))


@pytest.mark.parametrize(
    ("interval", "rounds"),
    [(errors(1.96), 60), (errors(2.0), 60), (bootstrap, 10), (bca, 10)],
    ids=["normal", "t", "percentile bootstrap", "BCa"],
)
def test_right_interval_stays_far_from_both_limits(interval: Interval, rounds: int) -> None:
    counts = [held(interval, seed) for seed in range(rounds)]
    assert min(counts) >= FEWEST + 2
    assert max(counts) <= MOST - 1
    # So far from them, in standard deviations of the count, that none will ever fail.
    assert (np.mean(counts) - FEWEST) / np.std(counts) > 4.5
    assert (MOST + 1 - np.mean(counts)) / np.std(counts) > 4


@pytest.mark.parametrize(
    "interval",
    [
        errors(1),
        errors(4),
        lambda s: errors(1.96 * math.sqrt(len(s)))(s),
        lambda s: tuple(np.quantile(s, [0.025, 0.975])),
    ],
    ids=["one standard error", "four", "standard deviation", "percentiles of the sample"],
)
def test_wrong_interval_never_passes(interval: Interval) -> None:
    assert not any(FEWEST <= held(interval, seed) <= MOST for seed in range(60))


# How bounds follow from what the server saw


def seen_by(n: int, *questions: tuple[float, float], returned: float) -> Run:
    run = Run(REST, n)
    run._called_at, run._returned_at = 0.0, returned
    for received, ended in questions:
        run.asked(1, "GET /").received_at = received
        run.questions[-1].ended_at = ended
    return run


def test_duration_lies_between_the_hold_and_the_gap_around_it() -> None:
    run = seen_by(2, (1.0, 1.5), (1.6, 2.0), (2.3, 2.9), returned=3.1)
    expected = [(0.5, 1.6), (0.4, 0.8), (0.6, 1.1)]
    assert np.allclose(run.bounds, expected)
    assert fits([0.5, 0.8, 0.7], run.bounds)
    assert not fits([0.49, 0.8, 0.7], run.bounds)
    assert not fits([0.5, 0.81, 0.7], run.bounds)


def test_who_leaves_early_is_told_though_the_clock_agrees() -> None:
    run = seen_by(2, (1.0, 1.5), (1.6, 2.0), (2.3, 2.9), returned=3.1)
    run.result = [0.41003, 0.61007]
    for question in run.questions:
        question.answered = True
    assert fault_of(run) == ""
    run.questions[-1].answered = False
    assert "you left before the whole answer" in fault_of(run)


def test_end_of_a_connection_comes_before_what_is_due_at_the_same_moment() -> None:
    async def leave_while_the_server_does_something_else() -> Question:
        run = Run(CONNECT, 1)
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
            async with http_server(run, listener, halves=True):
                client.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(client, listener.getsockname())
                await loop.sock_sendall(client, b"GET / HTTP/1.1\r\n\r\n")
                await loop.sock_recv(client, 1000)
                client.close()
                # Nobody else has a turn, until the second half of the answer is due.
                time.sleep(2 * max(HOLDS))  # noqa: ASYNC251
                assert await run._news.until(lambda: not math.isinf(run.questions[0].ended_at), 10)
        return run.questions[0]

    assert not asyncio.run(leave_while_the_server_does_something_else()).answered


@pytest.mark.parametrize(
    ("field", "closes"),
    [
        ("Connection: close", True),
        ("connection:Close", True),
        ("CONNECTION: TE, close ", True),
        ("Connection: keep-alive", False),
        ("Connection: not-close", False),
        ("X-Connection: close", False),
        ("Accept: close", False),
    ],
)
def test_connection_field_is_read_as_a_list_of_options(field: str, closes: bool) -> None:
    assert asks_to_close(field) is closes


# Deliverables that are none


def judged(function: Callable[..., Any], *exercises: str) -> dict[str, str]:
    """The messages of what a function in the place of each stopwatch does not pass."""
    objects = {FUNCTIONS[exercise]: function for exercise in exercises}
    return wrong_ones(judge(NAME, objects, *exercises))


def test_stub_is_not_attempted() -> None:
    def stub(*_: object) -> None:
        raise NotImplementedError

    objects = {**dict.fromkeys(FUNCTIONS.values(), stub), "summarise": stub}
    results = judge(NAME, objects)
    assert {result.passed for result in results} == {None}
    assert all("() still raises NotImplementedError" in result.message for result in results)


def test_missing_deliverables_are_not_started() -> None:
    results = judge(NAME, {})
    assert {result.passed for result in results} == {None}
    for name in LAB.deliverables:
        assert any(f"there is no {name}" in result.message for result in results)


def test_process_that_ends_is_named() -> None:
    found = judged(lambda url, n: os._exit(1), "rest", "connect")
    assert "ProcessEnded" in found["rest.connection"]
    assert "ProcessEnded" in found["connect.new"]
    found = wrong_ones(judge(NAME, {"summarise": lambda samples: os._exit(1)}, "summary"))
    assert len(found) == 5
    assert "ProcessEnded" in found["summary.mean"]


def test_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirelab.checks.latency_server.FIRST_DEADLINE", 0.3)
    monkeypatch.setattr("wirelab.checks.latency_samples.CALL_DEADLINE", 0.3)
    begun = time.monotonic()
    found = judged(lambda address, n: time.sleep(600), "rest", "websocket", "connect")
    assert len(found) == 3 + 3 + 4
    assert "got no result, and nothing for 0.3 seconds" in found["websocket.connection"]
    found = wrong_ones(judge(NAME, {"summarise": lambda samples: time.sleep(600)}, "summary"))
    assert "got no result in 0.3 seconds" in found["summary.quick"]
    assert "this needs 100 calls of summarise" in found["summary.interval"]
    assert time.monotonic() - begun < 20


def test_one_that_hangs_halfway_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirelab.checks.latency_server.STEP_DEADLINE", 0.3)

    def halfway(url: str, n: int) -> None:
        requests.get(url, timeout=5)
        time.sleep(600)

    assert "which sent 1 request on 1 connection; got no result" in judged(halfway, "rest")["rest.connection"]


def test_flood_is_cut_off() -> None:
    def flood(url: str, n: int) -> None:
        with requests.Session() as session:
            for _ in itertools.count():
                session.post(url, data=b"x" * 100_000, timeout=5)

    assert "ConnectionError" in judged(flood, "rest")["rest.connection"]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "got null; expected a list of"),
        ([], "got []; expected a list of"),
        ([0.1, "0.2", 0.3, 0.4], "expected a list of"),
        ([math.nan] * 4, "expected a list of"),
        ([True] * 4, "expected a list of"),
        ({"durations": [0.1] * 4}, "expected a list of"),
    ],
)
def test_result_that_is_no_row_of_numbers(result: object, words: str) -> None:
    def measure(url: str, n: int) -> object:
        with requests.Session() as session:
            for _ in range(n + 1):
                session.get(url, timeout=5)
        return result

    assert words in judged(measure, "rest")["rest.durations"]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, 'expected a dict whose "p50" is a number'),
        ({"p50": "1"}, 'expected a dict whose "p50" is a number'),
        ({"p50": math.nan}, 'expected a dict whose "p50" is a number'),
    ],
)
def test_summary_that_is_none(result: object, words: str) -> None:
    found = wrong_ones(judge(NAME, {"summarise": lambda samples: result}, "summary"))
    assert words in found["summary.percentiles"]
    assert 'expected a dict whose "ci95" is (low, high), two numbers' in found["summary.interval"]


def test_interval_upside_down_is_named() -> None:
    found = wrong_ones(judge(NAME, {"summarise": lambda samples: {"ci95": (2, 1)}}, "summary"))
    assert "got [2, 1]; expected the lower limit first" in found["summary.interval"]


def test_other_address_than_that_which_was_given() -> None:
    def measure(url: str, n: int) -> list[float]:
        with requests.Session() as session:
            return [session.get(url + "/other", timeout=5).elapsed.total_seconds() for _ in range(n + 1)][1:]

    assert "/other; expected GET /" in judged(measure, "rest")["rest.connection"]


# The opening of a connection


def right(exercise: str) -> Callable[..., Any]:
    function = deliverables(answers(NAME, "right")[-1])[FUNCTIONS[exercise]]
    assert callable(function)
    return function


def opening(function: Callable[..., Any]) -> str:
    results = judge(NAME, {"connection_costs": function}, "connect")
    [result] = [result for result in results if result.id == "connect.opening"]
    assert result.passed, result.message
    return result.message


def test_system_that_loses_no_packet_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirelab.checks.latency_server.sys.platform", "darwin")
    assert "(Whether the opening is timed shows on Linux only.)" in opening(right("connect"))


def test_client_that_gives_up_sooner_is_told_to_wait() -> None:
    def hasty(url: str, n: int) -> list[float]:
        durations = []
        for _ in range(n):
            start = time.perf_counter()
            requests.get(url, timeout=0.8)
            durations.append(time.perf_counter() - start)
        return durations

    found = judged(hasty, "connect")
    assert found.keys() == {"connect.opening"}
    assert found["connect.opening"].startswith("Could not run: ")
    assert "use a timeout of two seconds or more" in found["connect.opening"]


def test_asynchronous_function_is_awaited() -> None:
    function = right("rest")

    async def awaited(url: str, n: int) -> Any:
        return await asyncio.to_thread(function, url, n)

    assert not judged(awaited, "rest")


@pytest.mark.parametrize(
    ("exercise", "came", "went"),
    [
        ("rest", r"← GET /[0-9a-f]{8} HTTP/1\.1 \|", r"→ HTTP/1\.1 200 OK \| .* \| [0-9a-f]{128}$"),
        ("websocket", r"← TEXT \[4 bytes\] ping$", r"→ TEXT \[16 bytes\] [0-9a-f]{16}$"),
        # The second half of an answer has a line, and a time, of its own.
        ("connect", r"← GET /[0-9a-f]{8} HTTP/1\.1 \|", r"→ [0-9a-f]{64}$"),
    ],
)
def test_transcript_holds_what_came_and_what_was_answered(exercise: str, came: str, went: str) -> None:
    [plain] = [path for path in answers(NAME, "right") if path.stem == "plain_libraries"]
    with recording() as transcript:
        results = judge(NAME, deliverables(plain), exercise)
    assert all(result.passed for result in results)
    assert any(re.match(came, line.text) for line in transcript.lines)
    assert any(re.match(went, line.text) for line in transcript.lines)
    # One connection for each call of the first two, and one for each request of the third.
    opened = {line.connection for line in transcript.lines}
    asked = sum(line.text.startswith("← GET ") for line in transcript.lines)
    assert (len(opened) < asked) == (exercise == "rest")


def test_transcript_tells_of_an_answer_that_nobody_waited_for() -> None:
    def hangs_up(url: str, n: int) -> None:
        host, port = url.removeprefix("http://").partition("/")[0].split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")

    with recording() as transcript:
        judge(NAME, {"rest_round_trips": hangs_up}, "rest")
    told = [line.text for line in transcript.lines]
    assert told[0] == "← GET /nowhere HTTP/1.1"
    assert "✕ the connection ended before the whole answer to GET /nowhere was sent" in told
