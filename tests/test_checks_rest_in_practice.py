"""Lab 05: how its checks tell limiters apart, what only the grader sees, and what is no answer at all."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict, deque

import pytest
from fastapi import FastAPI
from grading_support import SHORT
from lab_answers import answers, deliverables, judge, judge_exercises, wrong_ones
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
from starlette.responses import JSONResponse

from wirelab.checks import LABS, exchange
from wirelab.checks.exchange import Exchange
from wirelab.checks.practice_pages import forgeries
from wirelab.checks.practice_service import BURST, RATE, links, media_type
from wirelab.grading import Crew
from wirelab.grading.session import SandboxTarget, Session
from wirelab.grading.submission import Submission

LAB = "05_rest_in_practice"
BARE, STARLETTE = answers(LAB, "right")


def application(file):
    """The application of an answer, on its own."""
    return deliverables(file)["app"]


def test_empty_application_is_not_attempted():
    results = judge(LAB, {"app": FastAPI()})
    assert [result.passed for result in results] == [None] * len(LABS[LAB].checks)
    assert sum(result.score for result in results) == 0


# limits


class TokenBucket:
    def __init__(self):
        self.kept = {}

    def wait(self, caller):
        now = time.monotonic()
        tokens, at = self.kept.get(caller, (BURST, now))
        tokens = min(BURST, tokens + (now - at) * RATE)
        self.kept[caller] = (tokens - 1 if tokens >= 1 else tokens), now
        return 0 if tokens >= 1 else (1 - tokens) / RATE


class GenericCellRate:
    def __init__(self):
        self.full_at = {}

    def wait(self, caller):
        now = time.monotonic()
        full_at = max(self.full_at.get(caller, 0), now) + 1 / RATE
        wait = full_at - now - BURST / RATE
        if wait <= 1e-9:
            self.full_at[caller] = full_at
        return max(wait, 0)


class LeakyBucket:
    """Drops leak out in whole numbers, one each fifth of a second."""

    def __init__(self):
        self.kept = {}

    def wait(self, caller):
        now = time.monotonic()
        level, at = self.kept.get(caller, (0, now))
        leaked = int((now - at) * RATE)
        level, at = (level - leaked, at + leaked / RATE) if leaked < level else (0, now)
        if level < BURST:
            self.kept[caller] = level + 1, at
            return 0
        self.kept[caller] = level, at
        return at + 1 / RATE - now


class SlidingLog:
    counts_refusals = False

    def __init__(self):
        self.logs = defaultdict(deque)

    def wait(self, caller):
        now, log = time.monotonic(), self.logs[caller]
        while log and log[0] <= now - BURST / RATE:
            log.popleft()
        if len(log) < BURST:
            log.append(now)
            return 0
        if self.counts_refusals:
            log.append(now)
            log.popleft()
        return log[0] + BURST / RATE - now


class LogOfRefusalsToo(SlidingLog):
    counts_refusals = True


class WindowFromTheFirstCall:
    def __init__(self):
        self.windows = {}

    def wait(self, caller):
        now = time.monotonic()
        begun, count = self.windows.get(caller, (now, 0))
        if now >= begun + BURST / RATE:
            begun, count = now, 0
        self.windows[caller] = begun, count + 1
        return 0 if count < BURST else begun + BURST / RATE - now


class OfTheLibrary:
    """A strategy of `limits`, whose windows are whole seconds of the clock."""

    def __init__(self):
        self.limiter = self.strategy(MemoryStorage())
        self.item = RateLimitItemPerSecond(BURST, BURST // RATE)

    def wait(self, caller):
        if self.limiter.hit(self.item, caller):
            return 0
        return max(self.limiter.get_window_stats(self.item, caller).reset_time - time.time(), 0.01)


class MovingWindow(OfTheLibrary):
    strategy = MovingWindowRateLimiter


class SlidingWindowCounter(OfTheLibrary):
    strategy = SlidingWindowCounterRateLimiter


class FixedWindow(OfTheLibrary):
    strategy = FixedWindowRateLimiter


RIGHT = [TokenBucket, GenericCellRate, LeakyBucket, SlidingLog, MovingWindow, SlidingWindowCounter]
WRONG = {
    FixedWindow: "fixed window ends",
    WindowFromTheFirstCall: "fixed window ends",
    LogOfRefusalsToo: "Do requests that are refused count as well?",
}


def limited_by(limiter):
    async def app(scope, receive, send):
        headers = dict(scope.get("headers", ()))
        wait = limiter.wait(headers.get(b"x-api-key", b"").decode())
        if wait:
            # A hair more: the client's clock begins when it has the answer, the limiter's has run on.
            problem = JSONResponse({}, 429, {"Retry-After": str(math.ceil(wait + 0.001))})
            await problem(scope, receive, send)
        else:
            await JSONResponse([])(scope, receive, send)

    return app


@pytest.fixture(scope="module")
def judged_limiters():
    async def run():
        kinds = [*RIGHT, *WRONG]
        work = [judge_exercises(LAB, {"app": limited_by(kind())}, "limits") for kind in kinds]
        return dict(zip(kinds, await asyncio.gather(*work), strict=True))

    return asyncio.run(run())


@pytest.mark.parametrize("kind", RIGHT)
def test_every_way_to_keep_the_rate_is_right(judged_limiters, kind):
    assert not wrong_ones(judged_limiters[kind])


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_keep_the_rate_is_found(judged_limiters, kind):
    found = wrong_ones(judged_limiters[kind])
    if not found:
        # Nine at a time may be too many to keep to the moment at which a window ends: once more, alone.
        found = wrong_ones(judge(LAB, {"app": limited_by(kind())}, "limits"))
    assert list(found) == ["limits.rate"]
    assert WRONG[kind] in found["limits.rate"]


# What one mistake may cost


def test_one_bucket_for_all_leaves_a_note_where_it_is_in_the_way():
    mistake = next(file for file in answers(LAB, "wrong") if file.stem == "one_bucket_for_all")
    results = judge(LAB, deliverables(mistake), "pages")
    assert not wrong_ones(results)
    assert "New callers got a 429" in results[-1].message


def test_hanging_handler_costs_its_exercise_only(monkeypatch):
    monkeypatch.setattr(exchange, "ANSWER_DEADLINE", 1.0)
    monkeypatch.setattr(exchange, "IMPATIENT_DEADLINE", 0.3)
    bare = application(BARE)

    async def hangs(scope, receive, send):
        if b"idempotency-key" in dict(scope.get("headers", ())):
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            await bare(scope, receive, send)

    found = wrong_ones(judge(LAB, {"app": hangs}, "retry", "formats"))
    assert found.keys() == {check.id for check in LABS[LAB].exercises["retry"].checks}
    assert "The handler hangs" in found["retry.once"]


def test_process_that_ends_is_named():
    bare = application(BARE)

    async def ends(scope, receive, send):
        if scope["type"] == "http" and scope["method"] == "PATCH":
            raise SystemExit
        await bare(scope, receive, send)

    found = wrong_ones(judge(LAB, {"app": ends}, "update"))
    assert len(found) == len(LABS[LAB].exercises["update"].checks)


def test_empty_collection_at_the_start_is_no_mistake():
    app = application(BARE)
    app.__globals__["kept"].clear()
    app.__globals__["ids"].clear()
    assert not wrong_ones(judge(LAB, {"app": app}, "pages", "errors", "conditional", "update", "retry", "formats"))


# What only the grader can look at


def test_tags_that_a_restart_changes_are_found_by_the_grader():
    whole = "hashlib.md5(written(value, media_type)).hexdigest()"
    source = STARLETTE.read_text("utf-8")
    assert whole in source

    async def run():
        lab = LABS[LAB]
        with Crew(SHORT) as crew:
            async with (
                Session(
                    crew,
                    Submission("answer.py", source=source.replace(whole, "hash(written(value, media_type))")),
                    lab,
                ) as session,
                SandboxTarget(session) as target,
            ):
                return await lab.run("conditional", target)

    found = wrong_ones(asyncio.run(run()))
    assert list(found) == ["conditional.restart"]
    assert "before and after the service was started again" in found["conditional.restart"]


def test_notebook_says_that_it_cannot_start_an_interpreter():
    results = judge(LAB, deliverables(STARLETTE), "conditional")
    assert "`wirelab grade` looks further" in results[1].message


# Pieces


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('</v1/todos?cursor=a>; rel="next"', [("/v1/todos?cursor=a", ["next"])]),
        ("<?cursor=a,b>;rel=next", [("?cursor=a,b", ["next"])]),
        (
            '<a>; rel="first", <b>; title="x, <c>; rel=next"; REL="Next last"',
            [("a", ["first"]), ("b", ["next", "last"])],
        ),
        ("<a>", [("a", [])]),
        ("a; rel=next", []),
        ("", []),
    ],
)
def test_links_are_read(field, expected):
    assert list(links(field)) == expected


@pytest.mark.parametrize("cursor", ["3", "MTIzNA", "MTIzNA==", "3.abcdef0123", "x" * 80])
def test_forgeries_are_others(cursor):
    forged = forgeries(cursor)
    assert cursor not in forged
    assert len(set(forged)) == len(forged) >= 2


def test_one_forgery_stands_for_the_same_bytes():
    # "MQ" is "1" in base64, and so is "MR": the last character has room for more.
    assert "MR" in forgeries("MQ")


def test_media_type_is_read_without_parameters():
    assert (
        media_type(Exchange("", 200, {"content-type": "Application/JSON; charset=utf-8"}, b""))
        == "application/json"
    )
    assert media_type(Exchange("", 200, {}, b"")) == ""
