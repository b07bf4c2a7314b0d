"""Submissions for the tests of the grader, and limits that are soon reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wirelab.grading import Limits
from wirelab.grading.limits import MEBIBYTE

LAB = "01_todo_api"
TESTS = Path(__file__).parent
ATTACKS = TESTS / "grading" / "attacks"
HONEST = TESTS / "answers" / LAB / "right" / "bare_asgi.py"
SOLUTION = TESTS.parent / "solutions" / f"{LAB}.ipynb"
UNSOLVED = TESTS.parent / "labs" / f"{LAB}.ipynb"

SHORT = Limits(
    wall=8,
    cells=2,
    cell=1,
    cpu=20,
    memory=300 * MEBIBYTE,
    processes=60,
    file_size=16 * MEBIBYTE,
    open_files=256,
)


def write_notebook(path: Path, *sources: str, **metadata: Any) -> Path:
    """Write a notebook of code cells."""
    cells = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": text,
        }
        for n, text in enumerate(sources)
    ]
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def honest_source() -> str:
    """The code of an answer that scores 10."""
    return HONEST.read_text("utf-8")
