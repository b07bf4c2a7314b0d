"""What cost a class its points: by exercise, and by mistake; and the picture of both."""

from __future__ import annotations

import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import matplotlib.style

from ..checks import Result
from ..plots import PALETTE, STYLE, Shown, Values, axes
from .report import Report, plain

# Bars in each half of the picture.
MOST = 12
EXPECTED = re.compile(r"; expected (.*)", re.DOTALL)
# What differs between two learners who made the same mistake.
PARTICULARS = re.compile(r"""\d+|"[^"]*"|'[^']*'|\{.*?\}|\[.*?\]""")
KINDS = ("wrong", "not attempted", "could not run")
LOOKS = {
    "wrong": {"color": PALETTE[0]},
    "not attempted": {"color": PALETTE[2], "hatch": "///"},
    "could not run": {"color": PALETTE[1], "hatch": "xxx"},
}


@dataclass(frozen=True)
class Mistake:
    """One way to fail one check.

    Attributes:
        lab: its name.
        check: the check's id.
        expected: what the check expected instead, in the words of one learner's report.
        learners: how many submissions made it.
        points: what it cost them together.
    """

    lab: str
    check: str
    expected: str
    learners: int
    points: float


@dataclass(frozen=True)
class Losses:
    """Where points were lost.

    Attributes:
        exercises: for a lab and an exercise, points lost by kind (see `KINDS`), dearest first.
        mistakes: the dearest first.
    """

    exercises: dict[tuple[str, str], dict[str, float]]
    mistakes: tuple[Mistake, ...]


def losses(reports: Iterable[Report]) -> Losses:
    """Count what a class has lost."""
    exercises: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    cost: Counter[tuple[str, str, str]] = Counter()
    learners: Counter[tuple[str, str, str]] = Counter()
    words: dict[tuple[str, str, str], str] = {}
    for report in reports:
        for result in report.results:
            lost = result.points - result.score
            if lost <= 0 or report.lab is None:
                continue
            kind = _kind(result)
            exercises[report.lab, result.id.partition(".")[0]][kind] += lost  # type: ignore[assignment]
            if kind == "wrong":
                expected = _expected(result.message)
                key = (report.lab, result.id, PARTICULARS.sub("…", expected))
                cost[key] += lost  # type: ignore[assignment]
                learners[key] += 1
                words.setdefault(key, expected)
    mistakes = [
        Mistake(lab, check, words[lab, check, text], learners[lab, check, text], plain(points))
        for (lab, check, text), points in cost.items()
    ]
    mistakes.sort(key=lambda one: (-one.points, one.lab, one.check))
    dearest = sorted(exercises, key=lambda name: (-sum(exercises[name].values()), name))
    return Losses({name: dict(exercises[name]) for name in dearest}, tuple(mistakes))


def _kind(result: Result) -> str:
    if result.passed is None:
        return "not attempted" if result.message.startswith("Not attempted:") else "could not run"
    return "wrong"


def _expected(message: str) -> str:
    found = EXPECTED.search(message)
    return found[1] if found else message


def picture(lost: Losses, submissions: int) -> Shown:
    """Draw the exercises and the mistakes that cost most, with alternative text and a table."""
    figure, (left, right) = axes(2, width=13.0, height=0.36 * MOST + 1.6)
    exercises = dict(list(lost.exercises.items())[:MOST])
    names = [f"{lab[:2]} {exercise}" for lab, exercise in exercises]
    with matplotlib.style.context(STYLE):
        begin = [0.0] * len(names)
        for kind in KINDS:
            widths = [parts.get(kind, 0.0) for parts in exercises.values()]
            left.barh(names, widths, left=begin, label=kind, edgecolor="black", linewidth=0.5, **LOOKS[kind])
            begin = [start + width for start, width in zip(begin, widths, strict=True)]
        mistakes = lost.mistakes[:MOST]
        labels = [_label(mistakes, number) for number in range(len(mistakes))]
        bars = right.barh(
            labels, [one.points for one in mistakes], edgecolor="black", linewidth=0.5, **LOOKS["wrong"]
        )
        right.bar_label(bars, [f" {one.learners}×" for one in mistakes])
    left.set(title="Exercises", xlabel="points lost by the class")
    right.set(title="Mistakes, and how many made each", xlabel="points lost by the class")
    for panel in (left, right):
        panel.invert_yaxis()
        panel.grid(visible=False, axis="y")
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
        panel.margins(x=0.1)
    if names:
        left.legend(loc="lower right")
    buffer = io.BytesIO()
    with matplotlib.style.context(STYLE):
        figure.savefig(buffer, format="png", dpi=110)
    return Shown(buffer.getvalue(), _alt(lost, submissions), _caption(submissions), _values(lost))


def _label(mistakes: tuple[Mistake, ...], number: int) -> str:
    """The check's name; a second way to fail the same check gets a number."""
    this = mistakes[number]
    before = sum((one.lab, one.check) == (this.lab, this.check) for one in mistakes[:number])
    return f"{this.lab[:2]} {this.check}" + (f" ({before + 1})" if before else "")


def _alt(lost: Losses, submissions: int) -> str:
    if not lost.exercises:
        return f"Two empty bar charts: none of the {submissions} submissions lost a point."
    exercises = [
        f"{exercise} of lab {lab[:2]} ({plain(sum(parts.values()))})"
        for (lab, exercise), parts in list(lost.exercises.items())[:3]
    ]
    mistakes = [f"{one.check} of lab {one.lab[:2]} ({one.points})" for one in lost.mistakes[:3]]
    return (
        f"Two bar charts of the points that {submissions} submissions lost. "
        f"The exercises that cost most are {', '.join(exercises)}; the mistakes that cost most are "
        f"{', '.join(mistakes) or 'none: whatever was attempted is right'}."
    )


def _parts(parts: dict[str, float]) -> str:
    return ", ".join(f"{kind} {plain(points)}" for kind, points in parts.items())


def _caption(submissions: int) -> str:
    return f"Points that {submissions} submissions lost, by exercise and by mistake."


def _values(lost: Losses) -> Values:
    rows: list[tuple[object, ...]] = [
        (lab, exercise, "", plain(sum(parts.values())), "", _parts(parts))
        for (lab, exercise), parts in lost.exercises.items()
    ]
    rows += [(one.lab, one.check, one.learners, one.points, one.expected, "wrong") for one in lost.mistakes]
    return Values(("lab", "exercise or check", "submissions", "points lost", "what was expected", "how"), rows)
