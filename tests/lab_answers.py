"""The bank of answers under `answers/`, and how the tests judge them: in forks, as a notebook does."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Mapping
from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from wirelab.checks import LABS, Result
from wirelab.checks.board_browser import browser_path
from wirelab.checks.local import LocalTarget

ANSWERS = Path(__file__).parent / "answers"
# How many answers of a lab are judged at a time: they wait more than they work.
AT_A_TIME = 8

_numbers = count(1)


def answers(lab: str, kind: str) -> list[Path]:
    """The files of one kind, "right" or "wrong"."""
    return sorted((ANSWERS / lab / kind).glob("*.py"))


def constants(answer: Path) -> dict[str, Any]:
    """What a file assigns to names in capitals, as far as these are literals."""
    found = {}
    for statement in ast.parse(answer.read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]).isupper():
            try:
                found[ast.unparse(statement.targets[0])] = ast.literal_eval(statement.value)
            except ValueError:
                continue
    return found


def must_fail(answer: Path) -> dict[str, str]:
    """The checks that a wrong answer must fail, each with words of its message."""
    try:
        return dict(constants(answer)["FAILS"])
    except KeyError:
        raise AssertionError(f"{answer.name} does not say what it FAILS") from None


def lacking(answer: Path) -> str:
    """What this machine lacks to find the mistake of a wrong answer; empty if nothing."""
    seen_on_a_page = any(check.startswith("page.") for check in must_fail(answer))
    return "needs Chromium and the package playwright" if seen_on_a_page and browser_path() is None else ""


def source_of(answer: Path) -> str:
    """The text of an answer: the file, or the right answer that it takes as its BASE, with its CHANGES made."""
    said = constants(answer)
    if "CHANGES" not in said:
        return answer.read_text("utf-8")
    source = (answer.parent.parent / "right" / said["BASE"]).read_text("utf-8")
    for old, new in said["CHANGES"].items():
        assert source.count(old) == 1, f"{answer.name} changes what stands {source.count(old)} times: {old!r}"
        source = source.replace(old, new)
    return source


def deliverables(answer: Path) -> dict[str, Any]:
    """What an answer defines."""
    # A module of its own, which dataclasses and annotations ask for.
    module = ModuleType(f"answer_{next(_numbers)}")
    exec(compile(source_of(answer), str(answer), "exec"), module.__dict__)
    return module.__dict__


async def judge_exercises(lab: str, objects: Mapping[str, Any], *exercises: str) -> list[Result]:
    """Run some exercises of a lab, or all of them, on these deliverables."""
    results = []
    for exercise in exercises or LABS[lab].exercises:
        async with LocalTarget(LABS[lab], objects) as target:
            results += await LABS[lab].run(exercise, target)
    return results


def judge(lab: str, objects: Mapping[str, Any], *exercises: str) -> list[Result]:
    """Run some exercises of a lab, or all of them, on these deliverables."""
    return asyncio.run(judge_exercises(lab, objects, *exercises))


def judge_together(lab: str, works: Mapping[Any, Mapping[str, Any]]) -> dict[Any, list[Result]]:
    """Run every exercise of a lab on many works, several at a time; results in the lab's order."""
    exercises = list(LABS[lab].exercises)

    async def run() -> list[list[Result]]:
        turn = asyncio.Semaphore(AT_A_TIME)

        async def judge_in_turn(number: int, objects: Mapping[str, Any]) -> list[Result]:
            # Some exercises are more work than others: not everybody shall be at the same one.
            first = number % len(exercises)
            async with turn:
                results = await judge_exercises(lab, objects, *exercises[first:], *exercises[:first])
            order = [check.id for check in LABS[lab].checks]
            return sorted(results, key=lambda result: order.index(result.id))

        return await asyncio.gather(*(judge_in_turn(*work) for work in enumerate(works.values())))

    return dict(zip(works, asyncio.run(run()), strict=True))


@cache
def judged_bank(lab: str) -> Mapping[Path, list[Result]]:
    """The results of every answer to a lab that can be judged here, judged once.

    In a crowd on a busy machine a mistake of a few milliseconds can drown, and a server that hangs takes long: a
    wrong answer that surprises is judged once more, alone. A right one has to pass in the crowd.
    """
    right, wrong = answers(lab, "right"), [answer for answer in answers(lab, "wrong") if not lacking(answer)]
    works = {answer: deliverables(answer) for answer in [*right, *wrong]}
    results = judge_together(lab, works)
    for answer in wrong:
        if not is_as_it_says(answer, results[answer]):
            results[answer] = judge(lab, works[answer])
    return results


def is_as_it_says(answer: Path, results: list[Result]) -> bool:
    """Whether a wrong answer failed the checks that it names, with the words that it names."""
    found, expected = wrong_ones(results), must_fail(answer)
    return found.keys() == expected.keys() and all(words in found[check] for check, words in expected.items())


def wrong_ones(results: list[Result]) -> dict[str, str]:
    """The messages of what did not pass, by check."""
    return {result.id: result.message for result in results if not result.passed}
