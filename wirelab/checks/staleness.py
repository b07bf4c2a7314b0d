"""Lab 04: how old polled and pushed data is.

Its deliverables are ``poll(url, every, seconds)`` and ``push(uri, seconds)``, which return the updates that they
saw as ``(seq, seen_at)``, and ``staleness(seen, emitted)``, which says how old they were and how many were missed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wirelab.checks import Check, Exercise, Lab
from wirelab.checks import staleness_polls as polls
from wirelab.checks import staleness_pushes as pushes
from wirelab.checks import staleness_sums as sums
from wirelab.checks.staleness_runs import note_or_raise

# poll


def polled(question: str) -> Callable[[polls.PollStage], Awaitable[str | None]]:
    """A check that asks this of the runs of poll."""

    async def check(stage: polls.PollStage) -> str | None:
        return note_or_raise((await stage.evidence(polls.polled))[question])

    return check


POLL = Exercise(
    name="poll",
    title="Poll by the clock",
    hints=(
        "Three small things: one question with the tag of the last answer, a clock that says when the next "
        "question is due, and a loop that notes what is new. A pause after each answer is no clock: the time for "
        "the answer comes on top.",
        "Poll number k is due at `start + k * every`. Sleep until then, not for a fixed time. After each turn go "
        "on with the first k that is not over yet: `max(k + 1, math.ceil((time.perf_counter() - start) / "
        "every))`. In the loop, `answer.status_code == 200` is news, and `suppress(requests.RequestException)` "
        "gets you over a broken connection. The timeout is what is left until `seconds + every` are over.",
        '`ask`: `return session.get(url, headers={"If-None-Match": etag}, timeout=left)`. `turns`: `start, k = '
        "time.perf_counter(), 0`, then `while k * every < seconds:` sleep for `max(0, start + k * every - "
        "time.perf_counter())`, `yield k`, set k to the next one. `poll`: `session, seen, etag, end = "
        "requests.Session(), [], None, time.perf_counter() + seconds + every`, then `for _ in turns(every, "
        "seconds):`, in it `with suppress(requests.RequestException):`, in that `answer = "
        "ask(session, url, etag, max(0.01, end - time.perf_counter()))`, and if its status is "
        '200, append `(answer.json()["seq"], time.perf_counter())` to `seen` and set `etag = '
        'answer.headers["ETag"]`. At the end return `seen`.',
    ),
    checks=(
        Check(
            "poll.schedule",
            1.0,
            "The first poll comes at once, and the k-th k · every seconds after it, however long answers take.",
            "A pause after each answer makes the interval longer than it says, and with it all ages.",
            polled("schedule"),
        ),
        Check(
            "poll.slow",
            0.5,
            "An answer slower than the interval costs the polls that it covers: none comes before it, none is "
            "made up for after it, and the next ones are on the schedule again.",
            "A feed that is slow has too much to do. Who asks again meanwhile, or many times at once afterwards, "
            "makes it slower.",
            polled("slow"),
        ),
        Check(
            "poll.changes",
            0.5,
            "The first answer is recorded, and each later change once, as (seq, seen_at).",
            "An update counted twice would be older the second time, and lift the mean.",
            polled("changes"),
        ),
        Check(
            "poll.seen_at",
            0.5,
            "seen_at is time.perf_counter() when the answer was there, also when it took several intervals.",
            "Until the answer is there nobody knows what is in it: the way belongs to the age.",
            polled("seen_at"),
        ),
        Check(
            "poll.etag",
            0.5,
            "Each poll carries the last ETag in If-None-Match, letter by letter, also after a fault.",
            "A 304 has no body. Without the tag every poll costs the whole update.",
            polled("etag"),
        ),
        Check(
            "poll.faults",
            0.5,
            "Neither a 503 nor a dropped connection ends it, be it at the very first poll.",
            "Networks fail for a moment all the time. Who asks again anyway need not fail with them.",
            polled("faults"),
        ),
        Check(
            "poll.end",
            0.5,
            "It returns within seconds + every, also when the last answer does not come.",
            "Two ways of following a feed can only be compared over the same time.",
            polled("end"),
        ),
    ),
    needs=("poll",),
    opens=polls.PollStage.open,
    untouched=polls.untouched,
    # Several rounds, for functions that block, on a machine that is busy with others.
    deadline=75.0,
)


# push


def pushed(question: str) -> Callable[[pushes.PushStage], Awaitable[str | None]]:
    """A check that asks this of the runs of push."""

    async def check(stage: pushes.PushStage) -> str | None:
        return note_or_raise((await stage.evidence(pushes.pushed))[question])

    return check


PUSH = Exercise(
    name="push",
    title="Listen",
    hints=(
        "It is a loop over the messages of one connection, with one deadline around all of it. A deadline for "
        "each message would start anew with every update.",
        "`async with asyncio.timeout(seconds):` raises `TimeoutError` wherever the block is by then, also while "
        "it waits for a message. What was recorded until then is still there: catch the error outside, and return "
        "the list.",
        "`with suppress(TimeoutError):`, in it `async with asyncio.timeout(seconds), connect(uri, proxy=None) as "
        'websocket:`, in it `async for message in websocket:`, and in that append `(json.loads(message)["seq"], '
        "time.perf_counter())` to a list. Return the list at the end.",
    ),
    checks=(
        Check(
            "push.updates",
            1.0,
            "Every update is recorded once and in order, as (seq, seen_at), also several that come together.",
            "That nothing is missed is what push is for.",
            pushed("updates"),
        ),
        Check(
            "push.seen_at",
            1.0,
            "seen_at is time.perf_counter() when the update arrived.",
            "The age of an update ends when the program has it, not when it finds time for it.",
            pushed("seen_at"),
        ),
        Check(
            "push.end",
            0.5,
            "It returns when its time is over, although the stream goes on.",
            "A stream has no end of its own: the listener sets it.",
            pushed("end"),
        ),
        Check(
            "push.silence",
            0.5,
            "It returns when its time is over, and no sooner, although the stream has fallen silent.",
            "Silence is the usual state of a feed. It must neither hold you nor send you home.",
            pushed("silence"),
        ),
    ),
    needs=("push",),
    opens=pushes.PushStage.open,
    untouched=pushes.untouched,
    deadline=60.0,
)


# staleness


STALENESS = Exercise(
    name="staleness",
    title="How old, and how many missed",
    hints=(
        "Look the moments up by their seq: `dict(emitted)` has them. An update that was seen is one that stands "
        "in both lists.",
        "`ages = sorted(at - made[seq] for seq, at in seen if seq in made)` with `made = dict(emitted)`. What was "
        "missed is what is left of `made` when the seqs that were seen are taken away. And of no ages there is no "
        "mean: look before you divide.",
        '`missed = len(made.keys() - {seq for seq, _ in seen})`. Then return `{"mean": sum(ages) / len(ages) if '
        'ages else None, "p95": …, "missed": missed, "missed_share": missed / len(made)}`; for p95, '
        "`ages[int(0.95 * len(ages))] if ages else None` will do.",
    ),
    checks=(
        Check(
            "staleness.mean",
            0.5,
            "mean is the mean of seen_at - emitted_at over the updates that were seen.",
            "The lists differ in length as soon as something was missed: only the seq says what belongs together.",
            sums.mean,
        ),
        Check(
            "staleness.p95",
            0.5,
            "p95 is the 95th percentile of the ages, by any common definition.",
            "The mean says what to expect, p95 how bad it gets: one in twenty is older.",
            sums.p95,
        ),
        Check(
            "staleness.missed",
            0.5,
            "missed is the number of updates that were emitted and not seen.",
            "An age without its misses is worth nothing: who sees one update in fifty sees it fresh.",
            sums.missed,
        ),
        Check(
            "staleness.share",
            0.5,
            "missed_share is missed as a fraction of all that were emitted, from 0 to 1.",
            "A share has to mean the same whoever computes it. 0.5 % and a half are easily mixed up.",
            sums.share,
        ),
        Check(
            "staleness.none",
            0.5,
            "If none was seen, mean and p95 are None, and missed_share is 1.0.",
            "An age of 0 would make the worst of all feeds look like the best.",
            sums.none,
        ),
        Check(
            "staleness.unknown",
            0.5,
            "A seq that was not emitted is ignored.",
            "A poller's first answer is an update from before the experiment.",
            sums.unknown,
        ),
    ),
    needs=("staleness",),
    opens=sums.Sums.open,
    untouched=sums.untouched,
)


LAB = Lab(
    name="04_staleness",
    title="How old the news is",
    deliverables={"poll": "function", "push": "function", "staleness": "function"},
    exercises={exercise.name: exercise for exercise in (POLL, PUSH, STALENESS)},
)
