"""The bank of answers under `answers/`, and how the tests judge one: in a fork, as a notebook does."""

from __future__ import annotations

import ast
import asyncio
import runpy
from pathlib import Path
from typing import Any

from wirelab.checks import LABS, Result
from wirelab.checks.local import LocalTarget

ANSWERS = Path(__file__).parent / "answers"


def answers(lab: str, kind: str) -> list[Path]:
    """The files of one kind, "right" or "wrong"."""
    return sorted((ANSWERS / lab / kind).glob("*.py"))


def must_fail(answer: Path) -> dict[str, str]:
    """The checks that a wrong answer must fail, each with words of its message."""
    for statement in ast.parse(answer.read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "FAILS":
            return dict(ast.literal_eval(statement.value))
    raise AssertionError(f"{answer.name} does not say what it FAILS")


def judge(lab: str, objects: dict[str, Any]) -> list[Result]:
    """Run every exercise of a lab on these deliverables."""

    async def run() -> list[Result]:
        results = []
        for exercise in LABS[lab].exercises:
            async with LocalTarget(LABS[lab], objects) as target:
                results += await LABS[lab].run(exercise, target)
        return results

    return asyncio.run(run())


def judge_file(lab: str, answer: Path) -> list[Result]:
    """Run every exercise of a lab on a file."""
    return judge(lab, runpy.run_path(str(answer)))


def wrong_ones(results: list[Result]) -> dict[str, str]:
    """The messages of what did not pass, by check."""
    return {result.id: result.message for result in results if not result.passed}
