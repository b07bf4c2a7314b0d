"""nbgrader takes the labs as they are: a solution gets full marks there, an unsolved lab none.

Here the quickest lab, from assignment to gradebook; the others, which take minutes, with ``-m benchmark``. That
every lab is what nbgrader itself would release is for ``test_authoring``.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from grading_support import TESTS

LABS = sorted(path.stem for path in (TESTS.parent / "solutions").glob("*.ipynb"))
QUICK = "01_todo_api"
# Seconds for one command of nbgrader, which executes notebooks.
DEADLINE = 240


def nbgrader(course: Path, *words: str) -> None:
    """Run nbgrader as a teacher does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "nbgrader", *words]
    done = subprocess.run(
        command, cwd=course, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(3 * DEADLINE)
@pytest.mark.parametrize(
    "lab", [pytest.param(lab, marks=[] if lab == QUICK else pytest.mark.benchmark) for lab in LABS]
)
def test_solution_gets_full_marks_and_unsolved_lab_none(lab: str, tmp_path: Path) -> None:
    pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e .[dev]")
    (tmp_path / "nbgrader_config.py").write_text("get_config().CourseDirectory.course_id = 'class'\n")
    solution = TESTS.parent / "solutions" / f"{lab}.ipynb"
    for folder in ("source", "submitted/solver"):
        (tmp_path / folder / lab).mkdir(parents=True)
        shutil.copy(solution, tmp_path / folder / lab)
    nbgrader(tmp_path, "generate_assignment", lab)
    shutil.copytree(tmp_path / "release" / lab, tmp_path / "submitted" / "beginner" / lab)
    nbgrader(tmp_path, "autograde", lab)
    nbgrader(tmp_path, "export", "--to", "grades.csv")
    with open(tmp_path / "grades.csv", newline="", encoding="utf-8") as file:
        grades = {
            row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)
        }
    assert grades == {"solver": (10, 10), "beginner": (0, 10)}
