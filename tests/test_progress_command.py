"""`wirelab progress`: which labs pass, what is next, and that nothing is graded twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
import pytest
from grading_support import LAB, SOLUTION, UNSOLVED
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from wirelab import standing
from wirelab.checks import LABS
from wirelab.cli import app
from wirelab.grading import Ledger, Limits, Report, batch, ledger
from wirelab.grading.report import make_report
from wirelab.grading.submission import read
from wirelab.standing import KEPT, next_step, standings

READ, CREATE = (LABS[LAB].exercises[name].checks[0] for name in ("read", "create"))


def progress(*words: object) -> Outcome:
    return CliRunner().invoke(app, ["progress", *map(str, words)])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty kit, with a folder for labs, in which we stand."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labs").mkdir()
    return tmp_path / "labs"


class Grader:
    """Stands for grading, and remembers what it was given."""

    def __init__(self) -> None:
        self.graded: list[str] = []
        self.results = [READ.result(True, "fine"), CREATE.result(False, "Sent a; got b; expected c.")]

    def __call__(self, paths: Sequence[Path], *, ledger: Ledger) -> Iterator[Report]:
        for path in paths:
            submission = read(path, LABS, Limits())
            if known := ledger.known(submission, LAB):
                yield known
                continue
            self.graded.append(path.name)
            report = make_report(str(path), LAB, self.results)
            ledger.keep(submission, LAB, report)
            yield report


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch) -> Grader:
    grader = Grader()
    monkeypatch.setattr(standing, "grade", grader)
    return grader


def begin(path: Path, cell_id: str = "create-answer", source: str = "x = 1") -> None:
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if cell.id == cell_id).source = source
    nbformat.write(notebook, path)


def test_the_real_grader_passes_a_solution_and_grades_it_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(SOLUTION, folder)
    outcome = progress()
    assert outcome.exit_code == 1, outcome.output
    assert f"1 of {len(LABS)} labs pass, 10 of {10 * len(LABS)} points" in outcome.stdout
    assert "Next: lab 02_price_stream" in outcome.stdout
    monkeypatch.setattr(batch, "judge", None)
    assert progress().stdout == outcome.stdout


def test_what_nobody_began_is_not_graded(folder: Path, grader: Grader) -> None:
    shutil.copy(UNSOLVED, folder)
    outcome = progress()
    assert outcome.exit_code == 1
    assert grader.graded == []
    assert "not begun" in outcome.stdout
    assert f"Next: labs/{LAB}.ipynb, exercise read, “Show the todos”." in " ".join(outcome.stdout.split())
    # Running cells that are not answers, and writing prose, begins nothing.
    begin(folder / UNSOLVED.name, "read-hint", 'lab.hint("read")')
    begin(folder / UNSOLVED.name, "title", "# Mine")
    assert progress().exit_code == 1
    assert grader.graded == []


@pytest.mark.parametrize("lab", sorted(UNSOLVED.parent.glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_lab_is_shipped_begun(lab: Path) -> None:
    assert not standing._was_begun(lab)


def test_graded_anew_when_code_changes_and_only_then(folder: Path, grader: Grader) -> None:
    path = folder / UNSOLVED.name
    shutil.copy(UNSOLVED, path)
    begin(path)
    assert progress().exit_code == 1
    begin(path, "title", "# Mine")
    assert progress().exit_code == 1
    assert grader.graded == [path.name]
    begin(path, source="x = 2")
    assert progress().exit_code == 1
    assert grader.graded == [path.name] * 2


def test_newer_checks_grade_anew(folder: Path, grader: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(SOLUTION, folder)
    standings(folder)
    monkeypatch.setattr(ledger, "checks_version", lambda lab: "newer")
    standings(folder)
    assert len(grader.graded) == 2


def test_what_could_not_run_is_tried_again(folder: Path, grader: Grader) -> None:
    shutil.copy(SOLUTION, folder)
    grader.results.append(CREATE.result(None, "Could not run: it was late."))
    standings(folder)
    standings(folder)
    assert len(grader.graded) == 2


def test_what_was_not_attempted_is_settled(folder: Path, grader: Grader) -> None:
    shutil.copy(SOLUTION, folder)
    grader.results.append(CREATE.result(None, "Not attempted: no route."))
    standings(folder)
    standings(folder)
    assert len(grader.graded) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}'])
def test_a_spoilt_outcome_is_graded_anew(folder: Path, grader: Grader, text: str) -> None:
    shutil.copy(SOLUTION, folder)
    first = standings(folder)
    [outcome] = KEPT.iterdir()
    outcome.write_text(text, "utf-8")
    assert standings(folder) == first
    assert standings(folder) == first
    assert len(grader.graded) == 2


def test_it_says_what_is_wrong_and_where_a_hint_is(folder: Path, grader: Grader) -> None:
    shutil.copy(SOLUTION, folder)
    assert next_step(standings(folder))[1:] == [
        f"{CREATE.id}: Sent a; got b; expected c.",
        'A hint, in the notebook: lab.hint("create")',
    ]


def test_several_files_of_a_lab_each_count(folder: Path, grader: Grader) -> None:
    for name in (f"{LAB}.ipynb", f"{LAB}-second.ipynb"):
        shutil.copy(SOLUTION, folder / name)
    (folder / "notes.ipynb").write_text("{}", "utf-8")
    assert [one.path.name for one in standings(folder) if one.path] == [f"{LAB}-second.ipynb", f"{LAB}.ipynb"]


def test_every_lab_passed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(paths: Sequence[Path], *, ledger: Ledger) -> Iterator[Report]:
        for path in paths:
            yield make_report(str(path), path.stem, [check.result(True, "") for check in LABS[path.stem].checks])

    monkeypatch.setattr(standing, "grade", full)
    for name in LABS:
        (folder / f"{name}.py").write_text("", "utf-8")
    outcome = progress()
    assert outcome.exit_code == 0
    assert outcome.stdout.endswith("Every lab passes.\n")


def test_a_file_that_cannot_be_read_is_a_lab_that_does_not_pass(folder: Path) -> None:
    (folder / f"{LAB}.ipynb").write_text("no notebook", "utf-8")
    outcome = progress(folder)
    assert outcome.exit_code == 1
    assert "it is no notebook" in " ".join(outcome.stdout.split())


@pytest.mark.parametrize(
    ("words", "reason"), [(["nowhere"], "there is no folder nowhere"), ([], "no lab in labs")]
)
def test_wrong_calls(folder: Path, words: list[str], reason: str) -> None:
    outcome = progress(*words)
    assert outcome.exit_code == 2
    assert reason in " ".join(outcome.stderr.split())
    assert outcome.stdout == ""
