"""The sample workflow for a class repository runs, as far as that goes without its host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from grading_support import LAB, SOLUTION, UNSOLVED

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent
WORKFLOW = yaml.safe_load((ROOT / "docs" / "classroom.yml").read_text("utf-8"))
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["grade"]["steps"]
# What changes the machine instead of grading.
SETS_UP = ("Install", "Allow namespaces")


def test_shape() -> None:
    """As docs.github.com, "Workflow syntax", has it: each step uses an action or runs a command, never both."""
    # YAML 1.1 takes "on" for a truth value.
    assert {"name", True, "permissions", "env", "jobs"} == set(WORKFLOW)
    assert WORKFLOW["permissions"] == {"contents": "read"}
    for step in STEPS:
        assert ("uses" in step) != ("run" in step)
        assert set(step) <= {"name", "uses", "with", "run", "if"}
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_what_it_names_is_there() -> None:
    assert (ROOT / WORKFLOW["env"]["LAB"].split()[0]).exists()
    for step in STEPS:
        for file in re.findall(r"-[rc] (?:kit/)?(\S+)", step.get("run", "")):
            assert (ROOT / file).exists()
    uploaded = STEPS[-1]["with"]["path"].split()
    commands = " ".join(step.get("run", "") for step in STEPS)
    assert all(path in commands for path in uploaded)


@pytest.mark.skipif(os.name != "posix", reason="runs bash")
@pytest.mark.parametrize(("handed_in", "status", "score"), [(SOLUTION, 0, "10 of 10"), (UNSOLVED, 1, "0 of 10")])
def test_commands_run(tmp_path: Path, handed_in: Path, status: int, score: str) -> None:
    """Each command as the host runs it; those that always run do so after a failure too."""
    labs, kit = tmp_path / "work" / "labs", tmp_path / "kit"
    labs.mkdir(parents=True)
    shutil.copy(handed_in, labs / f"{LAB}.ipynb")
    # What a learner puts beside it changes nothing.
    (labs.parent / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n")
    (labs / "conftest.py").write_text("def pytest_collection_modifyitems(items): items.clear()\n")
    kit.mkdir()
    shutil.copy(ROOT / "pyproject.toml", kit)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = kept | WORKFLOW["env"] | {"PATH": path, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    failed = 0
    for step in STEPS:
        if "run" in step and step["name"] not in SETS_UP and (not failed or step.get("if") == "always()"):
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=100,
            )
            assert done.returncode in (0, 1), done.stdout + done.stderr
            failed = failed or done.returncode
    assert failed == status
    assert score in (tmp_path / "summary").read_text("utf-8")
    assert len(ET.parse(tmp_path / "grades.xml").findall(".//testcase")) == 19
    assert (tmp_path / "reports" / "index.html").exists()
