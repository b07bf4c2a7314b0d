"""Runs of `push` against a stream that goes on for ever and one that falls silent; and what each of them shows."""

from __future__ import annotations

import asyncio
import secrets
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wirelab.checks import CannotJudge, Failed, NotAttempted
from wirelab.checks.exchange import shown
from wirelab.checks.staleness_feed import Sent, Stream
from wirelab.checks.staleness_runs import (
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

# Seconds beyond its time that a call may take on a busy machine; until the stream ends, if it is still going on;
# and until it is given up then.
LATE, PATIENCE, FAREWELL = 1.0, 2.0, 1.0
# Seconds before the end from which on an update may come too late.
MARGIN = 0.3
# Seconds from sending an update to its `seen_at`, at most.
PROMPT = 0.05

_random = secrets.SystemRandom()


@dataclass(frozen=True)
class Plan:
    """A run to make: for how many seconds, with which pauses before the updates, and at which pace after those."""

    seconds: float
    pauses: Sequence[float]
    every: float | None


def going_on() -> Plan:
    """Three updates in one instant, some single ones, a long pause, and then more without end."""
    singles = [_random.uniform(0.09, 0.13) for _ in range(3)]
    return Plan(_random.randint(130, 140) / 100, [0.05, 0, 0, *singles, 0.4], 0.1)


def silent() -> Plan:
    """A few updates, and then nothing more."""
    return Plan(_random.randint(95, 105) / 100, [0.05, 0, *(_random.uniform(0.05, 0.1) for _ in range(3))], None)


PLANS = {"going_on": going_on, "silent": silent}


@dataclass(frozen=True)
class Pushed(Run):
    """A run of `push`."""

    function = "push"
    plan: Plan
    sent: list[Sent]
    visits: int
    strays: list[str]
    outcome: Outcome

    @property
    def called(self) -> str:
        """The call in words."""
        return f"Called push(uri, {self.plan.seconds:g})"

    @property
    def seqs(self) -> list[int]:
        """What was sent."""
        return [one.seq for one in self.sent]

    @property
    def sent_told(self) -> str:
        """What was sent, in words."""
        return shown(", ".join(f"seq {seq}" for seq in self.seqs)) or "nothing"

    def need_a_visit(self) -> None:
        """See that it listened.

        Raises:
            Failed: it did not.
        """
        if not self.visits:
            stray = f"a handshake at {self.strays[0]}" if self.strays else "no WebSocket"
            raise Failed(
                f"{self.called} and sent nothing yet; got {stray}, and {self.outcome.told}; expected it to open a "
                "WebSocket at uri."
            )


class PushStage(Runs[Pushed]):
    """The streams that a check plays, and the listener that is called for each run."""

    async def run(self, name: str) -> Pushed:
        """Make the run of this name."""
        return await self._make(PLANS[name]())

    async def shortest(self) -> Pushed:
        """Call it for an instant."""
        return await self._make(Plan(0.1, [0.0], None))

    async def _make(self, plan: Plan) -> Pushed:
        async with Stream.open(self._target, plan.pauses, plan.every) as stream:
            patience = plan.seconds + PATIENCE + FAREWELL
            call = asyncio.ensure_future(outcome_of(self._target, patience, "push", stream.uri, plan.seconds))
            try:
                await asyncio.wait([call], timeout=plan.seconds + PATIENCE)
                stream.end()
                return Pushed(plan, stream.sent, stream.visits, stream.strays, await call)
            finally:
                call.cancel()


async def untouched(stage: PushStage) -> None:
    """Calling it gives NotImplementedError."""
    probe = await stage.evidence(PushStage.probe)
    if probe.outcome.unwritten and not probe.visits:
        raise NotAttempted("push() still raises NotImplementedError.")


async def pushed(stage: PushStage) -> dict[str, Answer]:
    """Both runs, and what each check makes of them."""
    return await answers(QUESTIONS, stage, timed=("updates", "seen_at"))


def updates(run: Pushed) -> None:
    """What was recorded."""
    run.need_a_visit()
    said = f"{run.called} and sent {run.sent_told}"
    with failing_after(said):
        got = [one.seq for one in sightings(run.outcome)]
    in_time = [one for one in run.sent if one.at < run.outcome.called + run.plan.seconds - MARGIN]
    if got != run.seqs[: len(got)]:
        raise Failed(
            f"{said}; got the seqs {brief(got)}; expected every update once, in the order in which they came."
        )
    if len(got) < len(in_time):
        raise Failed(
            f"{said}; got {len(got)} of them, {brief(got)}; expected all {len(in_time)} that were sent until "
            f"{MARGIN:g} s before the end, also those that came together, and those after a pause."
        )


def seen_at(run: Pushed) -> str | None:
    """When the updates were seen."""
    seen = {one.seq: one.at for one in reversed(run.need_sightings())}
    spans = [Span(one.seq, seen[one.seq], one.at, run.outcome.ended) for one in run.sent if one.seq in seen]
    if not spans:
        raise CannotJudge(f"this needs updates that were recorded. {run.called}; got {brief(run.outcome.value)}.")
    with failing_after(f"{run.called} and sent {run.sent_told}"):
        offset = clock_offset(spans, run.outcome.called)
    lags = {span.seq: span.seen - offset - span.earliest for span in spans}
    first, early = min(lags.items(), key=lambda pair: pair[1])
    if early < -SLACK:
        raise Failed(
            f"{run.called} and sent seq {first}; got its seen_at {1000 * -early:.0f} ms before it was sent; "
            "expected time.perf_counter() when it arrived: is it the update's own emitted_at?"
        )
    if statistics.median(lags.values()) > PROMPT:
        last, lag = max(lags.items(), key=lambda pair: pair[1])
        raise Failed(
            f"{run.called} and sent seq {last}; got its seen_at {lag:.2f} s after it was sent; expected each "
            "update to be noted as it arrives, not later and not all together."
        )
    return offset_note(offset)


def ends(run: Pushed) -> None:
    """When it returned, while the stream went on."""
    _ends(run, "an update each 0.1 s without end", "who only waits for a pause waits for ever")


def ends_in_silence(run: Pushed) -> None:
    """When it returned, while nothing came."""
    said = f"{len(run.sent)} updates and then nothing more"
    _ends(run, said, "who only looks at the clock after an update never looks again")
    if run.outcome.seconds < run.plan.seconds - MARGIN:
        raise Failed(
            f"{run.called} and sent {said}; got its list after {run.outcome.seconds:.2f} s already; expected it "
            f"to listen for {run.plan.seconds:g} s: silence is no end."
        )


def _ends(run: Pushed, said: str, why: str) -> None:
    if not run.visits or (run.outcome.kind == "raised" and run.outcome.seconds < run.plan.seconds + LATE):
        raise CannotJudge(
            f"this needs a push that listens and returns. {run.called}; got this: {run.outcome.told}."
        )
    if run.outcome.seconds > run.plan.seconds + LATE:
        raise Failed(
            f"{run.called} and sent {said}; got no end in time; expected it to return after {run.plan.seconds:g} "
            f"s: {why}."
        )


QUESTIONS: Mapping[str, Mapping[str, Judge[Pushed]]] = {
    "updates": {"going_on": updates},
    "seen_at": {"going_on": seen_at},
    "end": {"going_on": ends},
    "silence": {"silent": ends_in_silence},
}
