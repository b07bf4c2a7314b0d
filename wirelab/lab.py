"""What a lab notebook imports: checks of what you have so far, hints one at a time, and how far you are.

A lab notebook opens its lab, and asks it:

    lab = open_lab("01_todo_api")
    lab.check("create", app)
    lab.hint("create")
    lab.progress()
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from html import escape
from typing import Any, TypeVar

from IPython.display import display

from ._notebook import after_each_cell
from .checks import GRADING_VARIABLE, LABS, Exercise, Lab, Result

T = TypeVar("T")

# Sign, word and colour. The colour only repeats what the sign and the word say.
_PASSED = ("✓", "passed", "#1b7837")
_WRONG = ("✗", "wrong", "#b35806")
_NOT_RUN = ("–", "could not run", "#888888")
_NOT_ATTEMPTED = ("–", "not attempted", "#888888")

_NO_FORK = (
    "This system cannot fork, so the check met the objects of this notebook themselves, and has changed them."
)


def open_lab(name: str) -> OpenLab:
    """Open a lab by its name, as in ``"01_todo_api"``.

    Raises:
        ValueError: there is no such lab.
    """
    if name not in LABS:
        raise ValueError(f"There is no lab {name!r}; there are {', '.join(LABS)}.")
    return OpenLab(name)


def rerunnable(app: Any) -> Any:
    """Let a route that is defined again replace the one before: by itself, FastAPI keeps to the first.

    Args:
        app: a FastAPI or Starlette application; it is returned.
    """
    app.router.routes = _NewestRoutes(app.router.routes)
    return app


class _NewestRoutes(list[Any]):
    """Routes of which the newest counts, as a notebook's cells do."""

    def append(self, route: Any) -> None:
        def names(other: Any) -> tuple[object, object]:
            return getattr(other, "path", None), getattr(other, "methods", None)

        self[:] = [*(old for old in self if names(old) != names(route)), route]


class OpenLab:
    """A lab in the notebook of somebody who works on it."""

    def __init__(self, name: str) -> None:
        """Use `open_lab`."""
        self.name = name
        self._results: dict[str, list[Result]] = {}
        self._hints_shown: dict[str, int] = {}
        self._faults: dict[str | None, str] = {}
        after_each_cell(self._watch)

    def check(self, exercise: str, *deliverables: object) -> float:
        """Check an exercise on what you have so far, and show how it went. Your own objects stay as they are.

        Args:
            exercise: its name, as in ``"create"``.
            deliverables: what the exercise asks for, as in ``app``.

        Returns:
            The points reached; nbgrader takes them for the cell's.

        Raises:
            ValueError: there is no such exercise.
            TypeError: these are not the deliverables that it needs.
        """
        if GRADING_VARIABLE in os.environ:
            return 0.0
        lab, asked = self._find(exercise)
        if len(deliverables) != len(asked.needs):
            raise TypeError(f"Write lab.check({exercise!r}, {', '.join(asked.needs)}).")
        results = _beside(_run(lab, asked, deliverables))
        self._results[exercise] = results
        display(Report(asked, results, self._notes(results)))
        return sum(result.score for result in results)

    def hint(self, exercise: str) -> None:
        """Show the next of the exercise's three hints.

        Raises:
            ValueError: there is no such exercise.
        """
        if GRADING_VARIABLE in os.environ:
            return
        _, asked = self._find(exercise)
        number = min(self._hints_shown.get(exercise, 0) + 1, len(asked.hints))
        self._hints_shown[exercise] = number
        display(Hint(number, len(asked.hints), asked.hints[number - 1]))

    def progress(self) -> None:
        """Show the points of each exercise, as its last check found them."""
        if GRADING_VARIABLE in os.environ:
            return
        display(Progress(LABS[self.name], self._results))

    def _find(self, exercise: str) -> tuple[Lab, Exercise]:
        lab = LABS[self.name]
        if exercise not in lab.exercises:
            raise ValueError(f"There is no exercise {exercise!r}; there are {', '.join(lab.exercises)}.")
        return lab, lab.exercises[exercise]

    def _watch(self, cell: Any) -> None:
        """Remember which cells with code of the learner's failed when they last ran."""
        error = cell.error_before_exec or cell.error_in_exec
        place = getattr(cell.info, "cell_id", None)
        if error is None:
            self._faults.pop(place, None)
        elif isinstance(error, SyntaxError) or "def " in cell.info.raw_cell:
            line = f" in its line {error.lineno}" if isinstance(error, SyntaxError) else ""
            message = error.msg if isinstance(error, SyntaxError) else error
            self._faults[place] = f"{type(error).__name__}{line}: {message}"

    def _notes(self, results: list[Result]) -> list[str]:
        notes = [] if hasattr(os, "fork") else [_NO_FORK]
        if all(result.passed for result in results):
            return notes
        notes += [
            f"A cell of yours ended with {fault}. Until that is mended, the check meets what was there before."
            for fault in self._faults.values()
        ]
        if any(result.passed is False for result in results):
            exercise = results[0].id.partition(".")[0]
            notes.append(f'For a hint: lab.hint("{exercise}")')
        return notes


async def _run(lab: Lab, exercise: Exercise, deliverables: Sequence[object]) -> list[Result]:
    # Late: whoever only reads the notebook, or runs it to be graded, needs no HTTP client.
    from .checks.local import LocalTarget

    async with LocalTarget(lab, dict(zip(exercise.needs, deliverables, strict=True))) as target:
        return await lab.run(exercise.name, target)


def _beside(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop in a thread of its own: the notebook's loop is busy with the cell."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(loop.run_until_complete(task))
        except BaseException as fault:
            outcome.set_exception(fault)
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="wirelab check")
    thread.start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join()


def _points(score: float, points: float) -> str:
    return f"{score:g} of {points:g} {'point' if points == 1 else 'points'}"


def _verdict(result: Result) -> tuple[str, str, str]:
    if result.passed is None:
        return _NOT_ATTEMPTED if result.message.startswith("Not attempted") else _NOT_RUN
    return _PASSED if result.passed else _WRONG


@dataclass(frozen=True)
class Report:
    """What a check found: a table in JupyterLab, plain text elsewhere. What passed reads alike in every run."""

    exercise: Exercise
    results: list[Result]
    notes: list[str]

    @property
    def _caption(self) -> str:
        score = _points(sum(result.score for result in self.results), self.exercise.points)
        return f"{self.exercise.name} ({self.exercise.title.lower()}): {score}"

    @property
    def _common(self) -> str:
        """Why none of the checks ran, if it is the same for all."""
        reasons = {result.message for result in self.results if result.passed is None}
        return reasons.pop() if len(reasons) == 1 and all(r.passed is None for r in self.results) else ""

    def _rows(self) -> Iterable[tuple[Result, list[str], str]]:
        """Each result with what happened, line by line, and why it matters."""
        for result, check in zip(self.results, self.exercise.checks, strict=True):
            message = f"To do: {check.expects}" if self._common else result.message
            for prefix in ("As expected: ", "Not attempted: "):
                message = message.removeprefix(prefix)
            yield result, _sent_got_expected(message), check.why

    def __repr__(self) -> str:
        lines = [self._caption, *filter(None, [self._common])]
        for result, happened, why in self._rows():
            sign, word, _ = _verdict(result)
            lines.append(f"{sign} {result.id}: {word}")
            lines += [f"    {line}" for line in (*happened, f"Why it matters: {why}")]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr style="border-left:4px solid {colour}"><th scope="row" style="{_CELL}">{escape(result.id)}</th>'
            f'<td style="{_CELL};white-space:nowrap"><strong>{sign} {word}</strong></td>'
            f'<td style="{_CELL};overflow-wrap:anywhere">{"<br>".join(map(_emphasised, happened))}</td>'
            f'<td style="{_CELL}">{escape(why)}</td></tr>'
            for result, happened, why in self._rows()
            for sign, word, colour in [_verdict(result)]
        )
        before = "".join(f"<p>{escape(text)}</p>" for text in [self._common] if text)
        after = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return before + _table(self._caption, ("Check", "Result", "What happened", "Why it matters"), rows) + after


def _sent_got_expected(message: str) -> list[str]:
    """Break a message where a reader wants it broken."""
    sent, got, rest = message.partition("; got ")
    answer, expected, because = rest.rpartition("; expected ")
    if not (got and expected):
        return [message]
    return [f"{sent};", f"got {answer};", f"expected {because}"]


def _emphasised(line: str) -> str:
    first, space, rest = line.partition(" ")
    return (
        f"<strong>{first}</strong>{space}{escape(rest)}" if first in ("Sent", "got", "expected") else escape(line)
    )


@dataclass(frozen=True)
class Hint:
    """One hint."""

    number: int
    count: int
    text: str

    def __repr__(self) -> str:
        return f"Hint {self.number} of {self.count}: {self.text}"

    def _repr_markdown_(self) -> str:
        return f"**Hint {self.number} of {self.count}.** {self.text}"


@dataclass(frozen=True)
class Progress:
    """The points of each exercise."""

    lab: Lab
    results: dict[str, list[Result]]

    def _rows(self) -> Iterable[tuple[str, str]]:
        for exercise in self.lab.exercises.values():
            checked = self.results.get(exercise.name)
            score = sum(result.score for result in checked or [])
            yield exercise.name, _points(score, exercise.points) if checked else "not checked yet"

    @property
    def _caption(self) -> str:
        score = sum(result.score for results in self.results.values() for result in results)
        return f"{self.lab.title}: {_points(score, self.lab.points)}"

    def __repr__(self) -> str:
        return "\n".join([self._caption, *(f"  {name}: {points}" for name, points in self._rows())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td>{escape(points)}</td></tr>'
            for name, points in self._rows()
        )
        return _table(self._caption, ("Exercise", "Points"), rows)


# JupyterLab sets tables to the right otherwise.
_CELL = "text-align:left;vertical-align:top"


def _table(caption: str, header: Sequence[str], rows: str) -> str:
    head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in header)
    return (
        f'<table class="wirelab-lab"><caption style="text-align:left;font-weight:bold">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
