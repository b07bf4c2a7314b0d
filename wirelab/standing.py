"""How far a learner is: which labs pass, how many points the others have, and what is next.

A lab is graded only if an answer cell is no longer what was shipped, and only once for the same code: outcomes are
kept in ``.wirelab/standing`` of the current folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from . import authoring
from .checks import LABS, Result
from .grading import Ledger, Limits, Report, grade
from .grading.report import plain
from .grading.submission import Submission, find, lab_of

if TYPE_CHECKING:
    from rich.table import Table

KEPT = Path(".wirelab", "standing")
NOT_ATTEMPTED = "Not attempted:"


class _Settled(Ledger):
    """Keeps what grading the same code again would only repeat: what could not run may run next time."""

    def keep(self, submission: Submission, lab: str, report: Report) -> None:
        if all(one.passed is not None or one.message.startswith(NOT_ATTEMPTED) for one in report.results):
            super().keep(submission, lab, report)


@dataclass(frozen=True)
class Standing:
    """How one lab stands.

    Attributes:
        lab: its name.
        path: the learner's file; None if there is none.
        report: what grading it came to; None if no answer was begun.
    """

    lab: str
    path: Path | None
    report: Report | None

    @property
    def score(self) -> float:
        """Points earned."""
        return self.report.score if self.report else 0

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return self.report is not None and self.report.passed

    @property
    def exercise(self) -> str:
        """The first exercise that does not pass yet, or the first one."""
        missed = _missed(self.report) if self.report else None
        return missed.id.partition(".")[0] if missed else next(iter(LABS[self.lab].exercises))

    @property
    def says(self) -> str:
        """In a few words, how it stands."""
        if self.path is None:
            return "no file"
        if self.report is None:
            return "not begun"
        if self.passed:
            return "passed"
        if not self.report.results:
            return self.report.error or "could not be graded"
        return f"next: {self.exercise}"


def standings(folder: Path, kept: Path = KEPT) -> list[Standing]:
    """Say of each lab, in order, how it stands; grade what was changed since it was graded last.

    Args:
        folder: where the learner's labs are; of several files of one lab each counts for itself.
        kept: the folder of outcomes.

    Raises:
        FileNotFoundError: there is no such folder, or no lab in it.
        CrewError: no process can be started for what has to be graded.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: call this from the top of the kit, or name yours")
    works = list(_works(folder))
    if not works:
        raise FileNotFoundError(f"there is no lab in {folder}")
    begun = [path for _, path in works if _was_begun(path)]
    reports = dict(zip(begun, grade(begun, ledger=_Settled(kept, Limits())), strict=True)) if begun else {}
    return [
        Standing(lab, path, reports.get(path) if path else None) for lab in LABS for path in _paths(works, lab)
    ]


def next_step(all_of_them: Sequence[Standing]) -> list[str]:
    """Say in a few lines what to do next."""
    behind = next((one for one in all_of_them if not one.passed), None)
    if behind is None:
        return ["Every lab passes."]
    lab, exercise = LABS[behind.lab], LABS[behind.lab].exercises[behind.exercise]
    if behind.path is None:
        return [f"Next: lab {lab.name}, “{lab.title}”. Its notebook is not in this folder."]
    lines = [f"Next: {behind.path}, exercise {exercise.name}, “{exercise.title}”."]
    missed = _missed(behind.report) if behind.report else None
    if missed and not missed.message.startswith(NOT_ATTEMPTED):
        lines.append(f"{missed.id}: {missed.message}")
    return [*lines, f'A hint, in the notebook: lab.hint("{exercise.name}")']


def as_table(all_of_them: Sequence[Standing]) -> Table:
    """For people: a line for each lab."""
    from rich.table import Table
    from rich.text import Text

    score = plain(sum(one.score for one in all_of_them))
    points = plain(sum(LABS[one.lab].points for one in all_of_them))
    passed = sum(one.passed for one in all_of_them)
    table = Table(title=f"{passed} of {len(all_of_them)} labs pass, {score} of {points} points")
    for column in ("", "lab", "points", "how it stands"):
        table.add_column(column, overflow="fold")
    for one in all_of_them:
        name = one.path.stem if one.path else one.lab
        sign = "✓" if one.passed else "✗" if one.report else "–"
        table.add_row(sign, Text(name), f"{one.score}/{plain(LABS[one.lab].points)}", Text(one.says))
    return table


def _missed(report: Report) -> Result | None:
    return next((result for result in report.results if not result.passed), None)


def _works(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in find([folder], None, LABS):
        lab = lab_of(path, LABS)
        if lab in LABS:
            yield str(lab), path


def _paths(works: Sequence[tuple[str, Path]], lab: str) -> Sequence[Path | None]:
    return [path for own, path in works if own == lab] or [None]


def _was_begun(path: Path) -> bool:
    """Whether some answer is no longer what was shipped, by the checksums that a lab's cells carry."""
    if path.suffix != ".ipynb":
        return True
    try:
        cells = nbformat.read(path, as_version=4).cells  # type: ignore[no-untyped-call]
        answers = [cell for cell in cells if cell.metadata.get("nbgrader", {}).get("solution")]
        return not answers or any(cell.metadata.nbgrader.checksum != authoring.checksum(cell) for cell in answers)
    except (OSError, ValueError, AttributeError):
        # Not as the kit ships it, so somebody changed it.
        return True
