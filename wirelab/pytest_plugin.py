"""Grading as a pytest plugin: a class's repository runs ``pytest labs/`` and gets one test for each check.

pytest finds it by its entry point; ``-p no:wirelab`` switches it off. It collects notebooks that name a lab of the
kit, and Python files named after one; it stands aside where nbval collects (``--nbval``, ``--nbval-lax``). Points
stand among the properties of each test case of ``--junit-xml``.

pytest itself runs what else a repository holds, ``conftest.py`` above all. Where those who are graded can change
that, call pytest with ``--noconftest -c /dev/null``, or ``wirelab grade``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr

    from wirelab.checks import Check, Result
    from wirelab.grading import Crew, Report

CREW: pytest.StashKey[Crew] = pytest.StashKey()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SubmissionFile | None:
    """Collect submissions."""
    if file_path.suffix not in (".ipynb", ".py") or _nbval_collects(parent.config):
        return None
    # Not at the top: this module is imported by every pytest run on the machine.
    from wirelab.checks import LABS
    from wirelab.grading.submission import lab_in_name, lab_of

    # Not by the folder: what else stands in labs/ is no submission.
    lab = lab_in_name(Path(file_path.name), LABS) if file_path.suffix == ".py" else lab_of(file_path, LABS)
    return SubmissionFile.of(parent, file_path, lab) if lab is not None and lab in LABS else None


def _nbval_collects(config: pytest.Config) -> bool:
    return bool(config.getoption("nbval", False) or config.getoption("nbval_lax", False))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the clean process."""
    if crew := config.stash.get(CREW, None):
        crew.close()


class SubmissionFile(pytest.File):
    """One submission; graded when the first of its tests runs."""

    lab: str

    @classmethod
    def of(cls, parent: pytest.Collector, path: Path, lab: str) -> SubmissionFile:
        """Make one."""
        made: SubmissionFile = cls.from_parent(parent, path=path)
        made.lab = lab
        return made

    def collect(self) -> Iterator[CheckItem]:
        """One test for each check of the lab."""
        from wirelab.checks import LABS

        for check in LABS[self.lab].checks:
            yield CheckItem.of(self, check)

    @cached_property
    def report(self) -> Report:
        """The outcome of all checks; where the grading broke, that."""
        from wirelab.grading import Crew, Limits
        from wirelab.grading.batch import broken, grade_file

        stash = self.config.stash
        if CREW not in stash:
            stash[CREW] = Crew(Limits())
        try:
            # Without the lab: a file that names two is to be told so.
            return grade_file(self.path, None, stash[CREW])
        except (Exception, pytest.fail.Exception) as exc:
            # Kept, or each test would grade anew; pytest-timeout ends a test by `pytest.fail`.
            return broken(str(self.path), self.lab, exc)


class NotPassed(Exception):
    """A check did not pass. The text is for the learner."""


class CheckItem(pytest.Item):
    """One check of one submission."""

    check: Check

    @classmethod
    def of(cls, parent: SubmissionFile, check: Check) -> CheckItem:
        """Make one."""
        made: CheckItem = cls.from_parent(parent, name=check.id)
        made.check = check
        return made

    def runtest(self) -> None:
        """Look up what the grading came to."""
        assert isinstance(self.parent, SubmissionFile)
        report = self.parent.report
        result = next(result for result in report.results if result.id == self.name)
        self.user_properties += [("score", result.score), ("points", result.points)]
        if not result.passed:
            raise NotPassed(_text(result, report))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        """What happened, without the grader's own lines."""
        if isinstance(excinfo.value, NotPassed):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where the check is named in pytest's lists."""
        return self.path, None, f"{self.path.name}: {self.name}"


def _text(result: Result, report: Report) -> str:
    lines = [result.message, f"Hint: {result.hint}" if result.hint else "", report.error or ""]
    return "\n".join(line for line in lines if line)
