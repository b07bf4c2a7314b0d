"""A class's repository: ``pytest labs/`` gives one test for each check, with its points in the JUnit file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from grading_support import LAB, SOLUTION, TESTS, UNSOLVED, write_notebook

WRONG = TESTS / "answers" / LAB / "wrong" / "ids_by_counting.py"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class's repository, in which nothing but labs is to be tested."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "labs").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    shutil.copy(SOLUTION, folder / "labs" / f"{LAB}.ipynb")
    shutil.copy(UNSOLVED, folder / "labs" / f"{LAB}-bob.ipynb")
    shutil.copy(WRONG, folder / "labs" / f"{LAB}_eve.py")
    write_notebook(folder / "labs" / "lesson.ipynb", "raise SystemExit")
    (folder / "labs" / "tools.py").write_text("raise SystemExit\n")
    return folder


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as a class does, with nothing of this run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=90)


@pytest.mark.timeout(120)
def test_one_test_for_each_check(repository: Path) -> None:
    done = run_pytest(repository, "labs", "--junit-xml=junit.xml")
    assert done.returncode == 1, done.stdout + done.stderr
    cases = ET.parse(repository / "junit.xml").findall(".//testcase")
    assert len(cases) == 3 * 19
    points: dict[str, float] = {}
    for case in cases:
        file = str(case.get("classname"))
        properties = {p.get("name"): float(str(p.get("value"))) for p in case.findall("properties/property")}
        assert properties["score"] == (0 if case.find("failure") is not None else properties["points"])
        points[file] = points.get(file, 0) + properties["score"]
    assert points == {f"labs.{LAB}.ipynb": 10, f"labs.{LAB}-bob.ipynb": 0, f"labs.{LAB}_eve": 9}
    assert "got the id" in done.stdout
    assert "Hint: " in done.stdout
    assert "Traceback" not in done.stdout


def test_a_check_can_be_chosen(repository: Path) -> None:
    done = run_pytest(repository, f"labs/{LAB}_eve.py::read.list", f"labs/{LAB}_eve.py::ids.all")
    assert "1 failed, 1 passed" in done.stdout


@pytest.mark.parametrize("how", ["raise RuntimeError('its own fault')", "pytest.fail('Timeout (>120.0s)')"])
def test_grading_that_broke_is_not_begun_again(repository: Path, tmp_path: Path, how: str) -> None:
    """Each check fails, for the same reason: a test's time limit may have cut it."""
    shutil.copytree(repository, tmp_path, dirs_exist_ok=True)
    (tmp_path / "broken.py").write_text(
        "import pytest\nfrom wirelab.grading import batch\n\n"
        f"def broken(*_):\n    print('BEGUN')\n    {how}\n\nbatch.grade_file = broken\n"
    )
    done = run_pytest(tmp_path, f"labs/{LAB}_eve.py", "-s", "-p", "broken", "--junit-xml=junit.xml")
    assert done.stdout.count("BEGUN") == 1
    assert "19 failed" in done.stdout
    assert "the grader itself failed" in done.stdout
    scores = ET.parse(tmp_path / "junit.xml").findall(".//property[@name='score']")
    assert [score.get("value") for score in scores] == 19 * ["0.0"]


def test_two_labs_fail_every_check(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path, dirs_exist_ok=True)
    shutil.copy(SOLUTION, tmp_path / "labs" / "02_price_stream.ipynb")
    done = run_pytest(tmp_path, "labs/02_price_stream.ipynb")
    assert "passed" not in done.stdout
    assert f"its file name says lab 02_price_stream, its metadata {LAB}: rename it" in done.stdout


def test_stands_aside(repository: Path) -> None:
    """Where nbval collects notebooks, and where it is switched off."""
    for words in (["-p", "no:wirelab"], ["--nbval"]):
        done = run_pytest(repository, "labs", "--collect-only", *words)
        assert "read.list" not in done.stdout
