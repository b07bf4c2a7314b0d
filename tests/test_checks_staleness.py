"""Lab 04: how its checks meet what hangs, floods, ends or is no answer at all, and clients of any kind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import requests
from lab_answers import answers, deliverables, judge, judge_exercises, wrong_ones
from websockets.sync.client import connect

from wirelab.checks import LABS, Failed, Lab, Result
from wirelab.checks.staleness_feed import FLOOD, Latest, Stream, Turn
from wirelab.checks.staleness_polls import (
    Plan,
    Poll,
    Polled,
    after_slow,
    ends,
    on_schedule,
    seen_at,
    tags,
)
from wirelab.checks.staleness_runs import Outcome, Span, clock_offset
from wirelab.checks.staleness_sums import DEFINITIONS, percentiles
from wirelab.checks.transcript import recording

NAME = "04_staleness"
LAB: Lab = LABS[NAME]
[THREADS] = [deliverables(path) for path in answers(NAME, "right") if path.stem == "requests_and_threads"]


# What people hand in.


async def blocking_poll(url, every, seconds):
    return THREADS["poll"](url, every, seconds)


async def blocking_push(uri, seconds):
    return THREADS["push"](uri, seconds)


def other_clock_poll(url, every, seconds):
    return [(seq, at + 86_400.5) for seq, at in THREADS["poll"](url, every, seconds)]


def other_clock_push(uri, seconds):
    return [(seq, at - 4_000) for seq, at in THREADS["push"](uri, seconds)]


def late_by_another_clock(uri, seconds):
    return [(seq, time.perf_counter() + 4_000) for seq, _ in THREADS["push"](uri, seconds)]


def hangs(*_):
    time.sleep(600)


async def blocks(*_):
    time.sleep(600)  # noqa: ASYNC251


def ends_the_process(*_):
    os._exit(1)


def floods(url, every, seconds):
    end = time.perf_counter() + seconds

    def ask_again_and_again(_: int) -> None:
        with requests.Session() as session, contextlib.suppress(requests.RequestException):
            while time.perf_counter() < end:
                session.get(url, timeout=1)

    # Eight at a time: a busy machine slows one down to where it is no flood.
    with ThreadPoolExecutor(8) as threads:
        [*threads.map(ask_again_and_again, range(8))]
    return []


def asks_elsewhere(url, every, seconds):
    requests.post(url, timeout=1)
    requests.get(url + "st", timeout=1)
    return []


def listens_elsewhere(uri, seconds):
    connect(uri + "s", proxy=None)


def notes_what_a_503_brings(url, every, seconds):
    seen = THREADS["poll"](url, every, seconds)
    return [(1, seen[0][1]), *seen] if every < 0.16 else seen


def numpy_staleness(seen, emitted):
    report = THREADS["staleness"](seen, emitted)
    return {name: None if value is None else np.asarray(value)[()] for name, value in report.items()}


WORKS: dict[str, dict[str, Any]] = {
    "blocking": {"poll": blocking_poll, "push": blocking_push},
    "other clock": {"poll": other_clock_poll, "push": other_clock_push},
    "late by another clock": {"push": late_by_another_clock},
    "hangs": {"poll": hangs, "push": hangs},
    "blocks": {"poll": blocks, "push": blocks},
    "ends the process": {"poll": ends_the_process, "push": ends_the_process, "staleness": ends_the_process},
    "floods": {"poll": floods},
    "elsewhere": {"poll": asks_elsewhere, "push": listens_elsewhere},
    "503 is news": {"poll": notes_what_a_503_brings},
    "nothing": {"poll": lambda *_: None, "push": lambda *_: [1, 2], "staleness": lambda *_: [1]},
    "no functions": {"poll": 42, "push": lambda uri: [], "staleness": "?"},
    "numpy": {"staleness": numpy_staleness},
}


@pytest.fixture(scope="module")
def judged() -> Mapping[str, dict[str, Result]]:
    """The results of all of them, judged at the same time."""

    async def one(work: dict[str, Any]) -> dict[str, Result]:
        exercises = asyncio.gather(*(judge_exercises(NAME, work, exercise) for exercise in work))
        return {result.id: result for results in await exercises for result in results}

    async def all_of_them() -> list[dict[str, Result]]:
        return await asyncio.gather(*map(one, WORKS.values()))

    return dict(zip(WORKS, asyncio.run(all_of_them()), strict=True))


def messages(results: Mapping[str, Result]) -> dict[str, str]:
    return wrong_ones(list(results.values()))


def test_coroutine_that_blocks_its_event_loop_is_right_all_the_same(judged):
    assert not messages(judged["blocking"])


def test_constant_distance_of_two_clocks_is_allowed_for_and_told(judged):
    assert not messages(judged["other clock"])
    for check in ("poll.seen_at", "push.seen_at"):
        assert "a constant that was allowed for" in judged["other clock"][check].message


def test_late_is_late_by_another_clock_too(judged):
    found = messages(judged["late by another clock"])
    assert found.keys() == {"push.seen_at"}
    assert "not all together" in found["push.seen_at"]


@pytest.mark.parametrize("work", ["hangs", "blocks"])
def test_function_that_never_ends_is_given_up(judged, work):
    found = messages(judged[work])
    assert len(found) == 11
    assert "it had not returned" in found["poll.schedule"]
    assert "it had not returned" in found["poll.end"]
    assert "no WebSocket, and it had not returned" in found["push.updates"]


def test_process_that_ends_is_named(judged):
    found = messages(judged["ends the process"])
    for check in ("poll.schedule", "push.updates", "staleness.mean"):
        assert "ProcessEnded" in found[check]


def test_flood_is_cut_off(judged):
    found = messages(judged["floods"])
    assert f"got {FLOOD} polls in " in found["poll.schedule"]
    assert "a poll without If-None-Match" in found["poll.etag"]


def test_question_at_another_address_is_told(judged):
    found = messages(judged["elsewhere"])
    assert "no polls (and POST /latest besides)" in found["poll.schedule"]
    assert "a handshake at /streams" in found["push.updates"]


def test_what_a_fault_brings_is_no_news(judged):
    found = messages(judged["503 is news"])
    assert found.keys() == {"poll.faults"}
    assert "a fault brings no news" in found["poll.faults"]


def test_what_is_no_list_of_pairs_is_named(judged):
    found = messages(judged["nothing"])
    assert "got no polls, and it returned None" in found["poll.schedule"]
    assert "expected it to open a WebSocket" in found["push.updates"]
    assert "got [1]; expected a dict with mean, p95, missed, missed_share" in found["staleness.mean"]


def test_what_is_no_function_is_named(judged):
    found = messages(judged["no functions"])
    assert "not callable" in found["poll.schedule"]
    assert "2 were given" in found["push.updates"]
    assert "not callable" in found["staleness.mean"]


def test_numbers_of_numpy_are_numbers(judged):
    assert not messages(judged["numpy"])


def test_missing_deliverables_are_not_started():
    results = judge(NAME, {})
    assert {result.passed for result in results} == {None}
    assert {name for name in LAB.deliverables if any(f"there is no {name}" in r.message for r in results)} == {
        *LAB.deliverables
    }


def test_every_definition_of_a_percentile_is_one():
    ages = np.random.default_rng().lognormal(size=60)
    low, high = percentiles(list(ages))
    for definition in DEFINITIONS:
        assert low <= np.percentile(ages, 95, method=definition) <= high
    for wrong in (max(ages), np.percentile(ages, 90), np.percentile(ages, 99)):
        assert not low <= wrong <= high


# Runs that were made up: what a check says does not depend on this machine.


def made_up(arrivals: list[float], *, every: float, seconds: float, delays: Mapping[int, float] = {}) -> Polled:
    """A run with polls at these times, and answers after these delays."""
    plan = Plan(every, round(seconds / every + 0.5), [])
    polls = [
        Poll(at, Turn(), None, '"x"', number, 200, at + delays.get(number, 0.01))
        for number, at in enumerate(arrivals)
    ]
    seen = [[poll.seq, poll.answered + 0.001] for poll in polls]
    return Polled(plan, polls, [], False, Outcome("returned", arrivals[0] - 0.01, arrivals[0] + seconds, seen))


GRID = [0.2 * k for k in range(10)]


def flaw(judge: Any, run: Polled) -> str:
    try:
        judge(run)
    except Failed as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize(
    ("arrivals", "words"),
    [
        (GRID, ""),
        ([0.05, *GRID[1:]], ""),
        (GRID[:4] + GRID[6:], ""),
        ([1.1 * at for at in GRID], ""),
        ([1.4 * at for at in GRID[:7]], "not a pause after the last answer"),
        ([0.5 * at for at in [*GRID, 2.0, 2.2, 2.4]], "one each 0.2 s"),
        (GRID[:4], "expected 10, one each 0.2 s"),
    ],
    ids=["on time", "first late", "two left out", "a little late", "pauses", "too often", "too few"],
)
def test_schedule(arrivals, words):
    found = flaw(on_schedule, made_up(arrivals, every=0.2, seconds=1.9))
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ([1.4, 1.6, 1.8], ""),
        ([1.45, 1.6, 1.8], ""),
        ([1.6, 1.8], ""),
        ([1.3, 1.31, 1.32, 1.4, 1.6, 1.8], "not made up for"),
        ([1.3, 1.5, 1.7], "the others stay on the schedule"),
        ([1.5, 1.7, 1.9], "intervals off those before it"),
        ([0.8, 1.0, 1.4], "got 2 polls before it was there"),
        ([], "got no poll after that"),
    ],
    ids=["on time", "late once", "one left out", "burst", "at once", "moved", "meanwhile", "ended"],
)
def test_slow_answer(after, words):
    found = flaw(after_slow, made_up([*GRID[:4], *after], every=0.2, seconds=2.1, delays={3: 0.7}))
    assert words in found
    assert bool(words) == bool(found)


def test_slow_answer_is_no_second_fault_of_who_pauses():
    assert not flaw(
        after_slow, made_up([0, 0.28, 0.56, 0.84, 1.74, 1.95], every=0.2, seconds=2.1, delays={3: 0.7})
    )


def test_end_has_a_margin_for_a_busy_machine():
    run = made_up(GRID, every=0.2, seconds=1.9)
    assert not flaw(ends, run)
    assert not flaw(ends, replace(run, outcome=replace(run.outcome, ended=2.2)))
    assert "expected it to return within 1.9 + 0.2 s" in flaw(
        ends, replace(run, outcome=replace(run.outcome, ended=3.0))
    )


def test_seen_at_is_told_by_the_order_of_things():
    run = made_up(GRID, every=0.2, seconds=1.9)
    assert not flaw(seen_at, run)
    asked = [[seq, at - 0.05] for seq, at in run.outcome.value]
    assert "before that" in flaw(seen_at, replace(run, outcome=replace(run.outcome, value=asked)))


# Clocks.


def test_clocks_that_differ_by_a_constant_are_told_from_a_wrong_one():
    now = time.perf_counter()
    spans = [Span(number, now + number + 0.01, now + number, now + number + 0.2) for number in range(4)]

    def shifted(offset: float) -> list[Span]:
        return [Span(span.seq, span.seen + offset, span.earliest, span.latest) for span in spans]

    assert clock_offset(spans, now) == 0
    assert clock_offset(shifted(-0.5), now) == 0
    assert clock_offset(shifted(5_000.0), now) == pytest.approx(5_000.01)
    with pytest.raises(Failed, match="time of day"):
        clock_offset(shifted(time.time() - time.perf_counter()), now)
    with pytest.raises(Failed, match="counted from the call"):
        clock_offset(shifted(-now), now)
    # Growing apart: nothing that could be allowed for.
    assert (
        clock_offset([Span(n, 3.0 * span.seen, span.earliest, span.latest) for n, span in enumerate(spans)], now)
        == 0
    )


# The feed itself, before clients of any kind.


class Loopback:
    """As much of a target as the feed needs."""

    async def listen(self) -> socket.socket:
        return socket.create_server(("127.0.0.1", 0))


def talk(port: int, *requests: str) -> bytes:
    """What comes back over one bare connection, to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for request in requests:
            connection.sendall(request.encode())
        received = b""
        while part := connection.recv(4096):
            received += part
    return received


def played(turns: list[Turn], client: Any) -> tuple[Any, Latest]:
    """What a client that runs in a thread made of the feed, and the feed."""

    async def play() -> tuple[Any, Latest]:
        async with Latest.open(Loopback(), turns) as feed:  # type: ignore[arg-type]
            return await asyncio.to_thread(client, feed.url), feed

    return asyncio.run(play())


def port_of(url: str) -> int:
    return int(url.split(":")[2].split("/")[0])


GET = "GET /latest HTTP/1.1\r\nHost: x\r\n{}\r\n"


def test_feed_keeps_a_connection_and_answers_what_is_piped_in():
    answer, feed = played(
        [Turn(), Turn(new=True)],
        lambda url: talk(port_of(url), GET.format("") * 2, GET.format("Connection: close\r\n")),
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert [poll.seq - feed.polls[0].seq for poll in feed.polls] == [0, 1, 1]


def test_feed_answers_http_1_0_without_a_host():
    answer, _ = played([], lambda url: talk(port_of(url), "GET /latest HTTP/1.0\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'{"seq": ' in answer.partition(b"\r\n\r\n")[2]


def test_feed_says_304_to_who_has_the_latest_and_to_nobody_else():
    def client(url: str) -> list[int]:
        first = requests.get(url, timeout=5)
        right, other = first.headers["ETag"], first.headers["ETag"].strip('"')
        second = requests.get(url, headers={"If-None-Match": right}, timeout=5)
        old = requests.get(url, headers={"If-None-Match": right}, timeout=5)
        altered = requests.get(url, headers={"If-None-Match": other}, timeout=5)
        without = requests.get(url, timeout=5)
        return [answer.status_code for answer in (first, second, old, altered, without)]

    statuses, feed = played([Turn(), Turn(), Turn(new=True), Turn(), Turn()], client)
    assert statuses == [200, 304, 200, 304, 200]
    with pytest.raises(Failed, match=r"sent ETag: .*; got If-None-Match: "):
        tags(Polled(Plan(0.1, 5, []), feed.polls, [], False, Outcome("returned", 0, 1, [])))


def test_feed_fails_as_it_is_told():
    def client(url: str) -> list[str]:
        found = []
        for _ in range(4):
            try:
                found.append(str(requests.get(url, timeout=5).status_code))
            except requests.ConnectionError as error:
                found.append("reset" if "reset" in str(error).lower() else "hung up")
        return found

    turns = [Turn(fault="unavailable"), Turn(fault="hung up"), Turn(fault="reset"), Turn()]
    assert played(turns, client)[0] == ["503", "hung up", "reset", "200"]


def test_transcript_holds_polls_answers_and_faults():
    def client(url: str) -> None:
        tag = requests.get(url, timeout=5).headers["ETag"]
        requests.get(url, headers={"If-None-Match": tag}, timeout=5)
        for _ in range(2):
            with pytest.raises(requests.ConnectionError):
                requests.get(url, timeout=5)
        talk(port_of(url), "HELO feed\r\n\r\n")

    with recording() as transcript:
        _, feed = played([Turn(), Turn(), Turn(fault="hung up"), Turn(fault="reset")], client)
    told = [(line.connection, line.text) for line in transcript.lines]
    assert [number for number, _ in told] == [1, 1, 2, 2, 3, 3, 4, 4, 5]
    texts = [text for _, text in told]
    assert texts[0].startswith("← GET /latest HTTP/1.1 | ")
    assert texts[1].startswith("→ HTTP/1.1 200 OK | Content-Type: application/json | ")
    assert f'"seq": {feed.polls[0].seq}, ' in texts[1]
    assert f" | If-None-Match: {feed.polls[0].tag}" in texts[2]
    assert texts[3].startswith("→ HTTP/1.1 304 Not Modified | ")
    assert texts[5] == "✕ a closed connection without an answer"
    assert texts[7] == "✕ a connection that was reset without an answer"
    assert texts[8].startswith("✕ what is no HTTP")


@pytest.mark.parametrize(
    ("exercise", "came"), [("poll", "← GET /latest HTTP/1.1"), ("push", "← GET /stream HTTP/1.1")]
)
def test_transcript_of_a_right_answer_holds_what_came(exercise, came):
    with recording() as transcript:
        results = judge(NAME, THREADS, exercise)
    assert all(result.passed for result in results)
    assert any(line.text.startswith(came) for line in transcript.lines)


def test_feed_takes_note_of_strangers():
    def client(url: str) -> None:
        requests.post(url, timeout=5)
        requests.get(url + "/2", timeout=5)
        talk(port_of(url), "HELO feed\r\n\r\n")

    _, feed = played([], client)
    assert not feed.polls
    assert feed.strays[:2] == ["POST /latest", "GET /latest/2"]
    assert feed.strays[2].startswith("what is no HTTP")


def test_stream_sends_to_the_first_who_listens_and_bears_the_others():
    def client(uri: str) -> list[str]:
        with connect(uri, proxy=None) as first, connect(uri, proxy=None) as second:
            first.send("hello?")
            received = [str(first.recv(timeout=5)) for _ in range(4)]
            with pytest.raises(TimeoutError):
                second.recv(timeout=0)
        return received

    async def play() -> None:
        async with Stream.open(Loopback(), [0.0, 0.0], 0.01) as stream:  # type: ignore[arg-type]
            received = await asyncio.to_thread(client, stream.uri)
            assert [f'"seq": {one.seq},' in text for one, text in zip(stream.sent, received, strict=False)] == [
                True
            ] * 4
            assert stream.visits == 2

    asyncio.run(play())
