"""Lab 03: stopwatches for round trips and connections, and what a sample of times says.

Its deliverables are ``rest_round_trips(url, n)``, ``websocket_round_trips(uri, n)`` and
``connection_costs(url, n)``, which return n durations in seconds, and ``summarise(samples)``.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from itertools import pairwise
from operator import sub
from typing import NoReturn

import numpy as np

from wirelab.checks import CannotJudge, Check, Exercise, Failed, Lab, NotAttempted, RemoteError
from wirelab.checks.latency_samples import (
    FEWEST,
    MOST,
    QUICK,
    SETS,
    TOLERANCE,
    Call,
    Desk,
    intervals,
    large_samples,
)
from wirelab.checks.latency_server import (
    CONNECT,
    REST,
    TICK,
    TOLERATED_EXCESS,
    WEBSOCKET,
    Run,
    Stage,
    Stopwatch,
    counted,
    milliseconds,
    stage,
)

NOT_IMPLEMENTED = NotImplementedError.__name__
# Calls until the quickest of them has to have been quick.
PATIENT_CALLS = 4


def unless_stub(function: str, error: RemoteError | None) -> None:
    """Raise `NotAttempted` if a call met a stub."""
    if error and error.names[0] == NOT_IMPLEMENTED:
        raise NotAttempted(f"{function}() still raises {NOT_IMPLEMENTED}.")


# rest, websocket and connect


async def two_runs(stage: Stage) -> list[Run]:
    """A short run, and a longer one if the first has come to an end."""
    runs = [await stage.run(4 + secrets.randbelow(3))]
    if runs[0].patience is None:
        runs.append(await stage.run(7 + secrets.randbelow(4)))
    return runs


async def lossy_run(stage: Stage) -> Run:
    """A run whose first connection takes a second to open."""
    return await stage.run(2, lossy=True)


async def untouched(stage: Stage) -> None:
    """Calling it gives NotImplementedError."""
    for run in await stage.evidence(two_runs):
        unless_stub(stage.stopwatch.function, run.error)


async def one_connection(stage: Stage) -> None:
    """One question after another, all on one connection."""
    words = stage.stopwatch
    for run in await stage.evidence(two_runs):
        expected = f"one {words.question} after another, on one {words.connection}, and then {run.n} durations"
        if run.binary:
            run.fail(f"{expected}; your message is bytes, and only a text is answered")
        if run.error or run.patience is not None or not run.questions:
            run.fail(expected)
        if run.overlaps:
            raise Failed(
                f"{run.told}, the next before the answer to the one before was there; got {run.got}; expected "
                f"{expected}: what waits beside others is timed with them."
            )
        if len({question.connection for question in run.questions}) > 1:
            raise Failed(
                f"{run.told}; got {run.got}; expected {expected}: opening each time costs a round trip more, and "
                "is timed with it."
            )
        strays = [question.text for question in run.last if not asks_for(question.text, run, words)]
        if strays:
            raise Failed(f"{run.told}; got {strays[0]}; expected GET {run.path}, as the address says.")


def asks_for(text: str, run: Run, words: Stopwatch) -> bool:
    """Whether a question is what the address says: any text for a WebSocket."""
    return words is WEBSOCKET or text == f"GET {run.path}"


async def warmed_up(stage: Stage) -> None:
    """At least one question more than durations."""
    for run in await stage.evidence(two_runs):
        run.need_result()
        if len(run.questions) <= run.n:
            question = stage.stopwatch.question
            run.fail(f"at least {counted(run.n + 1, question)}: the first is a warm-up, not one of the durations")


async def right_durations(stage: Stage) -> None:
    """The durations are those of the last questions, and reach to the end of each answer."""
    runs = await stage.evidence(two_runs)
    for run in runs:
        need_durations(run, stage.stopwatch)
        if fault := fault_of(run):
            fail_durations(run, fault)
    # The least of all: on a machine that is busy many are long, but not every one.
    excess = min(min(map(sub, run.numbers, run.held[-run.n :])) for run in runs)
    if excess > TOLERATED_EXCESS:
        fail_durations(
            runs[0],
            f"yours are {1000 * excess:.0f} ms longer or more, so the clock runs while you do something else",
        )


def need_durations(run: Run, words: Stopwatch) -> None:
    """Make sure that there is a duration for each of the last questions, and that these came one by one.

    Raises:
        Failed: there is none.
        CannotJudge: the call did not return, or questions overlap.
    """
    run.need_result()
    if len(run.numbers) != run.n:
        run.fail(f"a list of {run.n} durations in seconds")
    if len(run.questions) < run.n:
        run.fail(f"at least {counted(run.n, words.question)}, one for each duration")
    if run.overlaps:
        raise CannotJudge(f"this needs one {words.question} after another. {run.told}, several at the same time.")


def fail_durations(run: Run, fault: str) -> NoReturn:
    """Raise `Failed`."""
    raise Failed(
        f"{run.told}, whose last {run.n} answers took {milliseconds(run.held[-run.n :])} ms; got {run.got}; "
        f"expected each duration to be its answer's time, and little more: {fault}."
    )


def fault_of(run: Run) -> str:
    """What is wrong with the durations of a run, in words; empty if nothing is."""
    durations, bounds, n = run.numbers, run.bounds, run.n
    if max(durations) - min(durations) < TICK / 1000:
        return "yours are all the same, as a total is that is divided by n"
    if all(abs(1000 * duration - round(1000 * duration)) < 1e-3 for duration in durations):
        return "yours are whole milliseconds, which perf_counter() never gives"
    # Before the times: the server may see that the client has left before the client looks at its clock.
    if not all(question.answered for question in run.last):
        return "you left before the whole answer was there"
    if fits(durations, bounds[-n:]):
        return ""
    if any(fits(durations, bounds[first : first + n]) for first in range(len(bounds) - n)):
        return "yours are those of earlier ones, the warm-up among them, and the last are left out"
    if fits([duration / 1000 for duration in durations], bounds[-n:]):
        return "yours are not in seconds"
    if fits([durations[0], *(after - before for before, after in pairwise(durations))], bounds[-n:]):
        return "yours are all counted from the first start"
    leasts, mosts = map(sorted, zip(*bounds[-n:], strict=True))
    if fits(sorted(durations), list(zip(leasts, mosts, strict=True))):
        return "yours are in another order"
    early = sum(duration < least - TICK for duration, (least, _) in zip(durations, bounds[-n:], strict=True))
    if early:
        return f"{early} of the {n} are shorter than that, so the clock stops too early, or times something else"
    return "yours are longer than from the answer before to what you sent next"


def fits(durations: Sequence[float], bounds: Sequence[tuple[float, float]]) -> bool:
    """Whether each duration lies within its bounds."""
    return all(
        least - TICK <= duration <= most + TICK for duration, (least, most) in zip(durations, bounds, strict=True)
    )


def round_trips(
    name: str, title: str, hints: tuple[str, str, str], stopwatch: Stopwatch, why: tuple[str, str, str]
) -> Exercise:
    """The exercise of a stopwatch for round trips on one connection; `why` for each of its checks."""
    question, connection = stopwatch.question, stopwatch.connection
    return Exercise(
        name=name,
        title=title,
        hints=hints,
        checks=(
            Check(
                f"{name}.connection",
                1.0,
                f"All {question}s go out on one {connection}, each when the answer to the one before is there.",
                why[0],
                one_connection,
            ),
            Check(
                f"{name}.warm_up",
                0.5,
                f"At least one {question} comes before the n that are timed.",
                why[1],
                warmed_up,
            ),
            Check(
                f"{name}.durations",
                1.0,
                f"The n durations are those of the last n {question}s, in seconds, one by one.",
                why[2],
                right_durations,
            ),
        ),
        needs=(stopwatch.function,),
        opens=stage(stopwatch),
        untouched=untouched,
        deadline=60.0,
    )


REST_EXERCISE = round_trips(
    "rest",
    "Time one call after another",
    (
        "Three lines in a loop: look at the clock, call, look at the clock again. What is the difference of the "
        "two looks?",
        "The clock is `time.perf_counter()`. Keep what it says before `call()`, look again after it, and append "
        "the difference to `durations`.",
        "In the loop, in place of the TODO: `start = time.perf_counter()`, `call()`, "
        "`durations.append(time.perf_counter() - start)`.",
    ),
    REST,
    (
        "With a connection for each request you time the opening too, and with several at once how they wait for "
        "each other.",
        "The first call imports, looks up, opens and caches. It is true, but it is another thing than the rest.",
        "A mean can be right while every single number is wrong. The tail, which people feel, is in the single "
        "numbers.",
    ),
)
WEBSOCKET_EXERCISE = round_trips(
    "websocket",
    "Time messages and their answers",
    (
        "A round trip on a WebSocket has two steps. Put them into a function without arguments, and let the "
        "stopwatch call that.",
        "`with connect(uri, proxy=None) as websocket:` opens it. Inside, define a function that does "
        "`websocket.send(...)` with any text, then `websocket.recv()`; the stopwatch takes it as its `call`.",
        'Inside the `with`: `def echo():`, in it `websocket.send("ping")` and `websocket.recv()`. Then `return '
        "stopwatch(echo, n)`.",
    ),
    WEBSOCKET,
    (
        "A WebSocket is opened once, and for long. Whoever opens it for each message pays three round trips for "
        "one.",
        "The first message pays for what is set up on the way, on both sides.",
        "Only a clock that stops when the answer is there has seen a round trip: sending alone takes no time.",
    ),
)


async def new_connections(stage: Stage) -> None:
    """As many connections as durations, one request on each."""
    for run in await stage.evidence(two_runs):
        expected = f"{counted(run.n, 'connection')} and one GET {run.path} on each, without a warm-up"
        if run.error or run.patience is not None or not run.questions:
            run.fail(f"{expected}, and then {run.n} durations")
        used = [question.connection for question in run.questions]
        if len(set(used)) < len(used):
            run.fail(f"{expected}: a connection that is kept costs nothing, the second time")
        if len(used) != run.n or len(run.openings) != run.n:
            run.fail(f"{expected}: each opening is what is to be timed, the first one too")
        if strays := [question.text for question in run.questions if question.text != f"GET {run.path}"]:
            raise Failed(f"{run.told}; got {strays[0]}; expected {expected}.")


async def in_turn(stage: Stage) -> None:
    """No connection before the previous answer."""
    for run in await stage.evidence(two_runs):
        run.need_result()
        for number, opened in enumerate(run.openings, 1):
            if any(q.connection < number and q.ended_at > opened for q in run.questions):
                run.fail(
                    f"no connection before the answer on the one before: number {number} came too early, so that "
                    "the two share the way and the server"
                )


async def opening_is_timed(stage: Stage) -> str | None:
    """A connection that opens slowly."""
    for run in await stage.evidence(two_runs):
        run.need_result()
    run = await stage.evidence(lossy_run)
    if run.lost_at is None:
        return "(Whether the opening is timed shows on Linux only.)"
    if run.error and any("Timeout" in name for name in run.error.names):
        raise CannotJudge(
            "this needs a client that waits for a connection which opens a second late: use a timeout of two "
            f"seconds or more. {run.told}; got {run.got}."
        )
    took = run.openings[0] - run.lost_at if run.openings else math.inf
    if not run.numbers or run.numbers[0] < took - TICK:
        raise Failed(
            f"{run.told}, the first of which took {1000 * took:.0f} ms to open, since its first packet was lost; "
            f"got {run.got}; expected those {1000 * took:.0f} ms in the first duration: start the clock before "
            "you connect."
        )
    return None


CONNECT_EXERCISE = Exercise(
    name="connect",
    title="Hunt the bug: what a connection costs",
    hints=(
        "What keeps the connection of one request for the next one? Without it, everything is new each time.",
        "`requests.get` by itself makes a Session, uses it once and closes it: that is what you want here. And "
        "`stopwatch` makes a warm-up call, which would be one connection too many.",
        "`durations = []`, and in `for _ in range(n):` `start = time.perf_counter()`, `requests.get(url, "
        "timeout=5)`, `durations.append(time.perf_counter() - start)`. Behind the loop: `return durations`.",
    ),
    checks=(
        Check(
            "connect.new",
            1.0,
            "n connections are opened, and each carries one GET; there is no warm-up.",
            "A library that keeps connections does so behind your back: count them where they arrive.",
            new_connections,
        ),
        Check(
            "connect.turns",
            0.5,
            "No connection is opened before the answer on the one before is there.",
            "Ten at once share the way: their times say how they wait for each other, not what one costs.",
            in_turn,
        ),
        Check(
            "connect.durations",
            0.5,
            "Each duration reaches to the end of the whole answer, one by one.",
            "The header is there early. Whoever waits for a page waits for its last byte.",
            right_durations,
        ),
        Check(
            "connect.opening",
            0.5,
            "A connection whose first packet is lost, and which opens a second late, has that second in its "
            "duration.",
            "On this machine opening costs nothing, so a clock that starts too late does not show. Across an "
            "ocean it does.",
            opening_is_timed,
        ),
    ),
    needs=(CONNECT.function,),
    opens=stage(CONNECT),
    untouched=untouched,
    deadline=60.0,
)


# summary


async def summary_untouched(desk: Desk) -> None:
    """Calling it gives NotImplementedError."""
    for call in await desk.evidence(large_samples):
        unless_stub("summarise", call.error)


def hold_against(call: Call, key: str, least: float, most: float) -> None:
    """Compare one figure with what it may be.

    Raises:
        Failed: it is further off than rounding takes it.
    """
    figure = call.figure(key)
    if least * (1 - TOLERANCE) <= figure <= most * (1 + TOLERANCE):
        return
    samples = call.samples
    known = {
        "the mean": samples.mean(),
        "the median": np.median(samples),
        "the longest": samples.max(),
        "mean + 1.645 standard deviations, as for a bell curve": samples.mean() + 1.645 * samples.std(),
        "the middle one as they came, not in order": samples[len(samples) // 2],
        "the value in milliseconds": 1000 * least,
    }
    looks_like = [name for name, value in known.items() if math.isclose(figure, value, rel_tol=TOLERANCE)]
    call.fail(
        f"{least:.4f}, within 1 %{'; yours looks like ' + looks_like[0] if looks_like else ''}",
        got=f"{key} = {figure:.4f}",
    )


async def right_percentiles(desk: Desk) -> None:
    """The sample's own percentiles, by any common definition."""
    for call in await desk.evidence(large_samples):
        ordered = np.sort(call.samples)
        for key, share in (("p50", 0.50), ("p95", 0.95)):
            # Definitions differ in which of the neighbours they take, or where between them.
            place = share * len(ordered)
            hold_against(call, key, float(ordered[math.floor(place) - 2]), float(ordered[math.ceil(place)]))


async def right_mean(desk: Desk) -> None:
    """The sample's own mean."""
    for call in await desk.evidence(large_samples):
        mean = float(call.samples.mean())
        hold_against(call, "mean", mean, mean)


async def covering_interval(desk: Desk) -> None:
    """Intervals that hold the true mean as often as they promise."""
    sets = await desk.evidence(intervals)
    held = sets.held()
    if FEWEST <= held <= MOST:
        return
    width = f"yours reach {sets.width():.1f} standard errors to either side, where it takes about 2"
    wrong = f"too wide to say anything: {width}" if held > MOST else f"too narrow, or beside the mean: {width}"
    raise Failed(
        f"Called summarise(samples) {SETS} times and sent it {sets.sizes} durations each, from distributions "
        f"whose mean is known; got intervals that hold it in {held} of {SETS}; expected about 95 "
        f"({FEWEST} to {MOST}). They are {wrong}. (A standard error is the standard deviation divided by √n.)"
    )


async def quick_enough(desk: Desk) -> None:
    """The quickest of some calls."""
    calls = list(await desk.evidence(large_samples))
    if any(call.error for call in calls):
        raise CannotJudge(f"this needs a call that returns. {calls[0].told}; got {calls[0].got}.")
    while len(calls) < PATIENT_CALLS and min(call.seconds for call in calls) >= QUICK:
        calls.append(await desk.summarise(calls[0].samples))
    quickest = min(calls, key=lambda call: call.seconds)
    if quickest.seconds >= QUICK:
        took = f"a result after {quickest.seconds:.1f} s, at best" if quickest.value else quickest.got
        quickest.fail(f"one within {QUICK:g} s", got=took)


async def nothing_to_summarise(desk: Desk) -> None:
    """An empty list."""
    call = await desk.summarise([])
    if not (call.error and "ValueError" in call.error.names):
        raise Failed(
            f"Called summarise and sent it an empty list; got {call.got}; expected a ValueError, since nothing "
            "has no mean."
        )


SUMMARY_EXERCISE = Exercise(
    name="summary",
    title="Say what they say",
    hints=(
        "Four figures: two percentiles, the mean, and how far the mean may be off. numpy has a function for each "
        "but the last.",
        "`np.percentile(samples, [50, 95])` gives two at once. The standard error of a mean is the standard "
        "deviation, `np.std(samples, ddof=1)`, divided by the root of how many there are. A mean is seldom "
        "more than 1.96 of those off.",
        "After `if not len(samples): raise ValueError(...)`: `p50, p95 = np.percentile(samples, [50, 95])`, "
        "`mean = np.mean(samples)`, `margin = 1.96 * np.std(samples, ddof=1) / len(samples) ** 0.5`, and "
        '`"ci95": (mean - margin, mean + margin)` in the dict that you return, beside the other three.',
    ),
    checks=(
        Check(
            "summary.percentiles",
            0.5,
            "p50 and p95 are the sample's percentiles within 1 %, for samples of 1,000 and more with a long tail.",
            "Half of all users wait longer than p50, one in twenty longer than p95. A mean is nobody's wait.",
            right_percentiles,
        ),
        Check(
            "summary.mean",
            0.5,
            "mean is the sample's mean within 1 %.",
            "Times n it is the total: the mean is what a machine pays for.",
            right_mean,
        ),
        Check(
            "summary.interval",
            0.5,
            f"For many sets of 60 durations and more, ci95 holds the true mean about 95 times in 100 ({FEWEST} to "
            f"{MOST}).",
            "Too narrow an interval sells luck for a finding; too wide a one is never wrong, and says nothing.",
            covering_interval,
        ),
        Check(
            "summary.quick",
            0.5,
            f"One call is back within {QUICK:g} s.",
            "What takes long is not used, or worse: it runs while something is measured.",
            quick_enough,
        ),
        Check(
            "summary.empty",
            0.5,
            "An empty list raises ValueError.",
            "A benchmark that lost all its samples has to say so, and not report a nan or a zero.",
            nothing_to_summarise,
        ),
    ),
    needs=("summarise",),
    opens=Desk.open,
    untouched=summary_untouched,
    # A hundred calls of up to a second.
    deadline=150.0,
)


LAB = Lab(
    name="03_latency",
    title="Stopwatches and what they say",
    deliverables={
        **{stopwatch.function: "function" for stopwatch in (REST, WEBSOCKET, CONNECT)},
        "summarise": "function",
    },
    exercises={
        exercise.name: exercise
        for exercise in (REST_EXERCISE, WEBSOCKET_EXERCISE, CONNECT_EXERCISE, SUMMARY_EXERCISE)
    },
)
