"""Reading submissions, the hostile ones too: 0 points, every check listed, and the next one is graded."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from grading_support import HONEST, LAB, SHORT, SOLUTION, UNSOLVED, honest_source, write_notebook

import wirelab
from wirelab.grading import Crew, grade
from wirelab.grading.crew import PYTHON
from wirelab.grading.limits import MEBIBYTE
from wirelab.grading.submission import lab_in_name, read

LABS = {"01_todo_api", "02_price_stream", "01_todo"}


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * MEBIBYTE)


UNREADABLE = {
    "large": (large, "it has 100 MiB"),
    "binary": (lambda path: path.write_bytes(b"\xff\xfe\x00"), "no UTF-8"),
    "empty": (lambda path: path.write_text(""), "no notebook"),
    "list": (lambda path: path.write_text("[]"), "no list of cells"),
    "deep": (lambda path: path.write_text("[" * 200_000), "no notebook"),
    "number": (lambda path: path.write_text("1" * 10_000), "no notebook"),
    "cells": (lambda path: path.write_text('{"cells": {}}'), "no list of cells"),
    "old": (lambda path: path.write_text('{"worksheets": [{"cells": []}]}'), "no list of cells"),
    "folder": (lambda path: path.mkdir(), "no file"),
}


def test_unreadable_ones_score_nothing_and_stop_nobody(tmp_path: Path) -> None:
    for name, (write, _) in UNREADABLE.items():
        write(tmp_path / f"{name}.ipynb")
    files = [tmp_path / f"{name}.ipynb" for name in UNREADABLE if name != "folder"]
    with Crew(SHORT) as crew:
        reports = list(grade([*files, HONEST], LAB, crew=crew))
    assert [report.score for report in reports] == [0] * len(files) + [10]
    for report in reports[:-1]:
        assert report.error is not None
        assert UNREADABLE[Path(report.submission).stem][1] in report.error
        assert len(report.results) == 19


def test_strange_cells_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "strange.ipynb"
    cells = [
        *(1, None, {"cell_type": "code"}, {"cell_type": "code", "source": 5}),
        *({"cell_type": "markdown", "source": "# text"}, {"cell_type": "raw", "source": "x"}),
        *({"cell_type": "code", "source": ["a = 1\n", "b = 2"]}, {"cell_type": "code", "source": " \n"}),
        {"cell_type": "code", "source": "s = '\ud800'"},
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": 5}))
    assert read(path, LABS, SHORT).cells == ((4, "5"), (7, "a = 1\nb = 2"), (9, "s = '\ud800'"))


@pytest.mark.parametrize(
    ("path", "lab"),
    [
        ("01_todo_api.ipynb", "01_todo_api"),
        ("labs/01_todo_api-ada.ipynb", "01_todo_api"),
        ("ada_02_price_stream (2).py", "02_price_stream"),
        ("01_todo.py", "01_todo"),
        ("submitted/ada/01_todo_api/answer.py", "01_todo_api"),
        ("2026-01_todo_api/02_price_stream.py", "02_price_stream"),
        ("201_todo_api.py", None),
        ("answer.py", None),
    ],
)
def test_lab_in_name(path: str, lab: str | None) -> None:
    assert lab_in_name(Path(path), LABS) == lab


def test_metadata_before_folder(tmp_path: Path) -> None:
    (tmp_path / "01_todo_api").mkdir()
    path = write_notebook(tmp_path / "01_todo_api" / "ada.ipynb", "1", wirelab={"lab": "02_price_stream"})
    assert read(path, LABS, SHORT).lab == "02_price_stream"


def test_two_labs_are_refused_unless_one_is_given(tmp_path: Path) -> None:
    """A copy of the lab that one has solved earns nothing under another's name."""
    path = write_notebook(tmp_path / "09_many_workers.ipynb", honest_source(), wirelab={"lab": LAB})
    (report,) = grade([path], limits=SHORT)
    assert (report.lab, report.score, report.max_score) == ("09_many_workers", 0, 10)
    assert report.error == f"its file name says lab 09_many_workers, its metadata {LAB}: rename it, or give --lab"
    assert {report.error in result.message for result in report.results} == {True}
    assert [report.score for report in grade([path], LAB, limits=SHORT)] == [10]


@pytest.mark.timeout(120)
def test_any_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes to a worker, and what comes back, is plain data; a worker leaves nothing behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        reports = list(grade([HONEST, HONEST], LAB, executor=executor, limits=SHORT))
    assert [report.score for report in reports] == [10, 10]
    deadline = time.monotonic() + 10
    while (left := list(tmp_path.glob("wirelab-*"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def test_crew_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert [report.score for report in grade([HONEST], LAB, limits=SHORT)] == [10]
    assert list(tmp_path.iterdir()) == []


def test_solutions_and_tests_of_a_checkout_are_out_of_sight() -> None:
    """Asked of a process that is started as the clean one is."""
    code = "from wirelab.grading.sandbox import visible_paths; print(*visible_paths(), sep='\\n')"
    done = subprocess.run([*PYTHON[:2], "-c", code], capture_output=True, text=True, timeout=60, check=True)
    visible = [Path(line) for line in done.stdout.splitlines()]
    assert any(Path(wirelab.__file__).is_relative_to(path) for path in visible)
    assert not any(file.is_relative_to(path) for path in visible for file in (SOLUTION, UNSOLVED, HONEST))
