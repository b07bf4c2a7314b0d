"""Runs of `poll` against a feed that answers on time, late, badly and never; and what each of them shows."""

from __future__ import annotations

import math
import secrets
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from wirelab.checks import CannotJudge, Failed, NotAttempted
from wirelab.checks.exchange import shown
from wirelab.checks.staleness_feed import Fault, Latest, Poll, Turn
from wirelab.checks.staleness_runs import (
    PROBE_DEADLINE,
    SLACK,
    Answer,
    Judge,
    Outcome,
    Run,
    Runs,
    Span,
    answers,
    brief,
    clock_offset,
    failing_after,
    offset_note,
    outcome_of,
    sightings,
)

# Milliseconds of a polling interval, drawn for each run; of a shorter one, where time matters less; and of one so
# long that nobody waits for its end.
EVERY_MS, SHORT_MS, LONG_MS = (180, 210), (130, 150), (1600, 1800)
# Seconds beyond `seconds` + `every` that a call may take on a busy machine; until it is given up; and until it is
# given up once one was found hanging.
LATE, PATIENCE, IMPATIENCE = 0.4, 3.0, 1.0
# Seconds after `seconds` + `every` at which an answer comes that hangs.
HANGING = LATE + 0.8
# Delays of answers in intervals: of quick ones, of those that an interval has room for, and of the slow one.
QUICK, ROOMY, LONG = (0.02, 0.08), (0.3, 0.5), 3.5
# Median time from poll to poll in intervals: at least, and at most.
TOO_QUICK, TOO_SLOW = 0.8, 1.2
# Share of the polls due that has to come; and how many intervals must be left for one to be due after a fault.
MOST, LEFT = 0.7, 3
# Intervals by which polls may be off the schedule, and in which none may follow a slow answer.
OFF_SCHEDULE, SOON = 0.25, 0.3
# Intervals from an answer to its `seen_at`, at most.
PROMPT = 0.3

_random = secrets.SystemRandom()


@dataclass(frozen=True)
class Plan:
    """A run to make: with which interval, for how many polls, and what the feed does with each of them."""

    every: float
    due: int
    turns: list[Turn]

    @property
    def seconds(self) -> float:
        """For how long to poll: half an interval longer than the last poll is due."""
        return round((self.due - 0.5) * self.every, 4)


def steady() -> Plan:
    """Every answer takes a good part of the interval; now and then there is something new."""
    every = _drawn(EVERY_MS)
    new = {0, 2, 3, 5}
    return Plan(every, 10, [Turn(index in new, every * _random.uniform(*ROOMY)) for index in range(10)])


SLOW_AT = 3


def slow() -> Plan:
    """One answer, with something new in it, takes several intervals; those after it are quick."""
    every = _drawn(EVERY_MS)
    before = [Turn(index in (0, 2), every * _random.uniform(*ROOMY)) for index in range(SLOW_AT)]
    after = [Turn(index == 1, every * _random.uniform(*QUICK)) for index in range(4)]
    return Plan(every, 11, [*before, Turn(new=True, delay=LONG * every), *after])


def faulty() -> Plan:
    """Some polls get no answer, the very first among them; then there is something new, or nothing."""
    every = _drawn(SHORT_MS)
    faults: dict[int, Fault] = {0: "unavailable", 3: "unavailable", 5: "hung up", 8: "reset", 9: "unavailable"}
    new = {0, 6, 10}
    turns = [Turn(index in new, every * _random.uniform(*QUICK), faults.get(index)) for index in range(12)]
    return Plan(every, 12, turns)


def once() -> Plan:
    """A single poll is due, and the second one is far away."""
    every = _drawn(LONG_MS)
    return Plan(every, 1, [])


def hanging() -> Plan:
    """The answer to the last poll comes long after the end."""
    every = _drawn(SHORT_MS)
    quick = [Turn(index == 0, every * _random.uniform(*QUICK)) for index in range(2)]
    return Plan(every, 3, [*quick, Turn(delay=1.5 * every + HANGING)])


PLANS = {"steady": steady, "slow": slow, "faulty": faulty, "once": once, "hanging": hanging}


def _drawn(milliseconds: tuple[int, int]) -> float:
    return _random.randint(*milliseconds) / 1000


def counted(polls: int) -> str:
    """A number of polls, in words."""
    return "one poll" if polls == 1 else f"{polls or 'no'} polls"


@dataclass(frozen=True)
class Polled(Run):
    """A run of `poll`."""

    function = "poll"
    plan: Plan
    polls: list[Poll]
    strays: list[str]
    flooded: bool
    outcome: Outcome

    @property
    def called(self) -> str:
        """The call in words."""
        return f"Called poll(url, {self.plan.every:g}, {self.plan.seconds:g})"

    def since(self, moment: float) -> float:
        """Seconds from the first poll to a moment."""
        return moment - self.polls[0].at

    @property
    def delivered(self) -> list[Poll]:
        """For each update, the first answer with it."""
        first: dict[int, Poll] = {}
        for poll in sorted(self.polls, key=lambda poll: poll.answered):
            if poll.delivered:
                first.setdefault(poll.seq, poll)
        return list(first.values())

    @property
    def came(self) -> str:
        """The polls in words."""
        stray = f" (and {self.strays[0]} besides)" if self.strays else ""
        return f"{counted(len(self.polls))}{stray}"

    def need_polls(self, count: int, what: str) -> None:
        """See that there is something to judge.

        Raises:
            CannotJudge: there were fewer polls.
        """
        if len(self.polls) < count:
            raise CannotJudge(f"this needs {what}. {self.called}; got {self.came}, and {self.outcome.told}.")


class PollStage(Runs[Polled]):
    """The feeds that a check plays, and the poller that is called for each run."""

    async def run(self, name: str) -> Polled:
        """Make the run of this name."""
        return await self._make(PLANS[name](), IMPATIENCE if self.hangs else PATIENCE)

    async def shortest(self) -> Polled:
        """Call it for a single poll."""
        return await self._make(Plan(0.05, 1, []), PROBE_DEADLINE)

    async def _make(self, plan: Plan, patience: float) -> Polled:
        async with Latest.open(self._target, plan.turns) as feed:
            seconds = plan.seconds + plan.every + patience
            outcome = await outcome_of(self._target, seconds, "poll", feed.url, plan.every, plan.seconds)
            return Polled(plan, feed.polls, feed.strays, feed.flooded, outcome)


async def untouched(stage: PollStage) -> None:
    """Calling it gives NotImplementedError."""
    probe = await stage.evidence(PollStage.probe)
    if probe.outcome.unwritten and not probe.polls:
        raise NotAttempted("poll() still raises NotImplementedError.")


async def polled(stage: PollStage) -> dict[str, Answer]:
    """Every run, and what each check makes of it."""
    return await answers(QUESTIONS, stage, timed=("schedule", "slow", "seen_at", "end"))


# The schedule.


def at_once(run: Polled) -> None:
    """The first poll."""
    after = run.polls[0].at - run.outcome.called if run.polls else math.inf
    if after > run.plan.every / 2:
        got = f"the first poll after {after:.1f} s" if run.polls else f"{run.came}, and {run.outcome.told}"
        raise Failed(
            f"{run.called} and sent nothing yet; got {got}; expected the first GET /latest at once: who sleeps "
            "before it asks is an interval late with everything."
        )


def on_schedule(run: Polled) -> None:
    """The k-th poll."""
    every, due = run.plan.every, run.plan.due
    said = f"{run.called} and sent each answer {ROOMY[0]:g} to {ROOMY[1]:g} intervals after its poll"
    if run.flooded:
        raise Failed(
            f"{said}; got {len(run.polls)} polls in {run.since(run.polls[-1].at):.2f} s; expected {due}, one each "
            f"{every:g} s."
            if run.polls
            else f"{said}; got a flood of {run.strays[0]}; expected GET /latest each {every:g} s."
        )
    polls = [poll for poll in run.polls if run.since(poll.at) < run.plan.seconds]
    pace = _pace(polls, every)
    if pace > TOO_SLOW:
        last = len(polls) - 1
        raise Failed(
            f"{said}; got poll number {last + 1} at {run.since(polls[-1].at):.2f} s; expected it {last} · "
            f"{every:g} = {last * every:.2f} s after the first: the next poll is due by the clock, not a pause "
            "after the last answer."
        )
    if pace < TOO_QUICK or len(polls) > due / MOST:
        raise Failed(
            f"{said}; got {counted(len(polls))} in {run.plan.seconds:.2f} s; expected {due}, one each {every:g} s."
        )
    if len(polls) < MOST * due:
        raise Failed(
            f"{said}; got {run.came}, and {run.outcome.told}; expected {due}, one each {every:g} s for "
            f"{run.plan.seconds:g} s."
        )


def _pace(polls: Sequence[Poll], every: float) -> float:
    """Median time from poll to poll, in intervals; 1 if there are too few to tell."""
    gaps = [(later.at - earlier.at) / every for earlier, later in pairwise(polls)]
    return statistics.median(gaps) if len(gaps) > 1 else 1.0


# A slow answer.


def after_slow(run: Polled) -> None:
    """The polls during a slow answer and after it."""
    every = run.plan.every
    run.need_polls(SLOW_AT + 1, "polls until an answer is slow")
    late = run.polls[SLOW_AT]
    said = f"{run.called} and sent the answer to poll number {SLOW_AT + 1} only after {LONG:g} · {every:g} s"
    answered = min(late.answered, run.outcome.ended)
    meanwhile = [poll for poll in run.polls if late.at < poll.at < answered - SLACK]
    if meanwhile:
        raise Failed(
            f"{said}; got {counted(len(meanwhile))} before it was there; expected none: a slow feed gets slower "
            "when it is asked again meanwhile. Its answer costs the polls that it covers."
        )
    after = [poll for poll in run.polls[SLOW_AT + 1 :] if run.since(poll.at) < run.plan.seconds]
    if not after:
        raise Failed(
            f"{said}; got no poll after that, and {run.outcome.told}; expected the next one when it is due."
        )
    # Where the schedule began: not with the first poll, which may have opened a connection or loaded something.
    start = late.at + every * statistics.median(
        _off(poll.at - late.at, every) for poll in run.polls[1 : SLOW_AT + 1]
    )
    first = after[0].at - answered
    if first < SOON * every and abs(_off(after[0].at - start, every)) > OFF_SCHEDULE:
        burst = sum(poll.at < answered + every * 0.9 for poll in after) > 2
        raise Failed(
            f"{said}; got {'a burst of polls' if burst else 'a poll'} as soon as it was there; expected none "
            f"before the next is due, at {SLOW_AT + math.ceil(LONG)} · {every:g} s: polls that a slow answer has "
            f"covered are gone, {'not made up for' if burst else 'and the others stay on the schedule'}."
        )
    off = statistics.median(abs(_off(poll.at - start, every)) for poll in after)
    # Who pauses after each answer has no schedule to be off.
    if off > OFF_SCHEDULE and _pace(run.polls[: SLOW_AT + 1], every) <= TOO_SLOW:
        raise Failed(
            f"{said}; got the polls after that some {off:.1f} intervals off those before it; expected all of them "
            f"at whole multiples of {every:g} s after the first: a slow answer costs polls, and moves none."
        )


def _off(seconds: float, every: float) -> float:
    """By how much a time is off the nearest multiple of the interval, in intervals: -0.5 to 0.5."""
    return math.remainder(seconds, every) / every


# What was seen.


def changes(run: Polled) -> None:
    """The updates that were recorded."""
    run.need_polls(1, "a poll")
    said = f"{run.called} and sent {_sent(run.polls)}"
    with failing_after(said):
        seen = sightings(run.outcome)
    got, expected = [one.seq for one in seen], [poll.seq for poll in run.delivered]
    if got != expected:
        why = "the first answer is news, and each later change once"
        if set(got) == set(expected) and len(got) > len(expected):
            why = "each change once, however often it was asked for: 304 means that nothing is new"
        elif got == expected[1:]:
            why = "the first answer is news too"
        raise Failed(f"{said}; got the seqs {brief(got)}; expected {brief(expected)}: {why}.")


def _sent(polls: Iterable[Poll]) -> str:
    return shown(", ".join(poll.got for poll in polls))


def seen_at(run: Polled) -> str | None:
    """When the updates were seen."""
    run.need_polls(1, "a poll")
    seen = {one.seq: one.at for one in reversed(run.need_sightings())}
    spans = [
        Span(poll.seq, seen[poll.seq], poll.answered, _next(run, poll))
        for poll in run.delivered
        if poll.seq in seen
    ]
    if not spans:
        raise CannotJudge(
            f"this needs updates that were recorded. {run.called}; it returned {brief(run.outcome.value)}."
        )
    with failing_after(f"{run.called} and sent {_sent(run.polls)}"):
        offset = clock_offset(spans, run.outcome.called)
    worst = max(spans, key=lambda span: span.earliest - (span.seen - offset))
    early = worst.earliest - (worst.seen - offset)
    if early > SLACK:
        asked = next(poll.at for poll in run.delivered if poll.seq == worst.seq)
        hint = ": is it when it was asked for?" if abs(worst.seen - offset - asked) < run.plan.every / 4 else "."
        raise Failed(
            f"{run.called} and sent seq {worst.seq} {_after(run, worst.earliest)}; got its seen_at {early:.2f} s "
            f"before that; expected when the answer was there, and none can be there before it is sent{hint}"
        )
    lags = [span.seen - offset - span.earliest for span in spans]
    if statistics.median(lags) > PROMPT * run.plan.every or any(
        span.seen - offset > span.latest + SLACK for span in spans
    ):
        lag, span = max(zip(lags, spans, strict=True), key=lambda pair: pair[0])
        raise Failed(
            f"{run.called} and sent seq {span.seq} {_after(run, span.earliest)}; got its seen_at {lag:.2f} s "
            "after that; expected when the answer was there: look at the clock before you sleep."
        )
    return offset_note(offset)


def _next(run: Polled, answered: Poll) -> float:
    """Until when an answer must have been seen: until the next poll, or the end."""
    return min((poll.at for poll in run.polls if poll.at > answered.answered), default=run.outcome.ended)


def _after(run: Polled, moment: float) -> str:
    return f"{moment - run.outcome.called:.2f} s after the call"


# What was asked.


def tags(run: Polled) -> str | None:
    """The ``If-None-Match`` of each poll."""
    last, fault = "", ""
    for poll in run.polls:
        if last and poll.condition != last:
            after = f", and then {fault}" if fault else ""
            got = f"If-None-Match: {shown(poll.condition)}" if poll.condition else "a poll without If-None-Match"
            why = (
                "what it has, it still has after a fault"
                if fault
                else "the tag is the feed's, with its quotation marks and its W/, and goes back as it came"
            )
            raise Failed(
                f"{run.called} and sent ETag: {last}{after}; got {got}; expected If-None-Match: {last}: {why}."
            )
        fault = poll.turn.told if poll.turn.fault else ""
        last = poll.tag if poll.delivered else last
    tagged = [turn for turn in run.plan.turns[1:] if turn.fault]
    if tagged and len(run.polls) <= run.plan.turns.index(tagged[0], 1) + 1:
        return "(What it sends after a fault was not seen: it did not poll again.)"
    if not last or len(run.polls) < 2:
        raise CannotJudge(f"this needs an answer, and a poll after it. {run.called}; got {run.came}.")
    return None


def goes_on(run: Polled) -> None:
    """The polls after a fault."""
    run.need_polls(1, "a poll")
    last = run.polls[-1]
    said = f"{run.called} and sent {last.turn.told} to poll number {len(run.polls)}"
    left = (run.plan.seconds - run.since(last.at)) / run.plan.every
    if run.outcome.kind == "raised" or (last.turn.fault and left > LEFT):
        raise Failed(
            f"{said}; got no poll after it, and {run.outcome.told}; expected it to poll on until its time is "
            "over: the next answer may be a good one."
        )
    seen = {one.seq for one in run.need_sightings()}
    missing = [poll for poll in run.delivered[1:] if poll.seq not in seen]
    if missing:
        raise Failed(
            f"{run.called} and sent {_sent(run.polls)}; got {brief(run.outcome.value)}; expected seq "
            f"{missing[0].seq} among them: what changes after a fault is news as well."
        )
    if invented := seen - {poll.seq for poll in run.delivered}:
        raise Failed(
            f"{run.called} and sent {_sent(run.polls)}; got seq {min(invented)} recorded; expected only what was "
            "sent: a fault brings no news."
        )


# The end.


def ends(run: Polled) -> None:
    """When it returned."""
    if run.outcome.kind == "raised":
        raise CannotJudge(f"this needs a poll that returns. {run.called}; got {run.came}, and {run.outcome.told}.")
    longest = run.plan.seconds + run.plan.every
    if run.outcome.seconds > longest + LATE:
        raise Failed(
            f"{run.called} and sent an answer to each of its {len(run.polls)} polls; got no end in time, for "
            f"{run.outcome.told}; expected it to return within {run.plan.seconds:g} + {run.plan.every:g} s: by "
            "the clock, not by a number of polls or changes."
        )


def gives_up(run: Polled) -> None:
    """When it returned, although an answer was missing."""
    longest = run.plan.seconds + run.plan.every
    if run.outcome.kind != "raised" and run.outcome.seconds > longest + LATE:
        raise Failed(
            f"{run.called} and sent no answer to the last poll; got no end in time, for {run.outcome.told}; "
            f"expected it to return within {run.plan.seconds:g} + {run.plan.every:g} s: what is left until then "
            "is as long as it may wait for an answer."
        )


QUESTIONS: Mapping[str, Mapping[str, Judge[Polled]]] = {
    "schedule": {"once": at_once, "steady": on_schedule},
    "slow": {"slow": after_slow},
    "changes": {"steady": changes},
    "seen_at": {"slow": seen_at},
    "etag": {"steady": tags, "faulty": tags},
    "faults": {"faulty": goes_on},
    "end": {"steady": ends, "slow": ends, "hanging": gives_up},
}
