"""The teacher's guide is in step with the notebooks: minutes, sums, and the predictions that people make."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "teachers_guide.md").read_text(encoding="utf-8")
ROUTES = (ROOT / "docs" / "routes.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", GUIDE, re.MULTILINE))
FOLDERS = {"Lesson": "notebooks", "Lab": "labs"}
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def notebook_of(kind: str, number: str) -> Path | None:
    return next((ROOT / FOLDERS[kind]).glob(f"{number}_*.ipynb"), None)


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def section_of(lesson: Path) -> str:
    return next(name for name in SECTIONS if name.startswith(f"Lesson {lesson.stem[:2]}:"))


def predictions(lesson: Path) -> list[tuple[str, str]]:
    """The question of each `predict` of a lesson, and what many say, with its unit."""
    found = []
    for cell in nbformat.read(lesson, as_version=4).cells:
        if cell.cell_type != "code" or "predict(" not in cell.source:
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "predict":
                named: dict[str, Any] = {word.arg or "": word.value for word in node.keywords}
                common, unit = (ast.literal_eval(named.get(name, ast.Constant(""))) for name in ("common", "unit"))
                found.append((ast.literal_eval(node.args[0]), f"{common} {unit}".strip()))
    return found


@pytest.mark.parametrize("schedule", ["Half a day", "One day", "Four weeks"])
def test_minutes_are_those_of_the_notebooks(schedule: str) -> None:
    named = [row for row in rows(schedule) if re.fullmatch(r"(Lesson|Lab) \d\d", row[1])]
    assert named
    for _, what, minutes in named:
        notebook = notebook_of(*what.split())
        if notebook:
            assert int(minutes) == nbformat.read(notebook, as_version=4).metadata.wirelab.minutes, what


@pytest.mark.parametrize(("schedule", "most"), [("Half a day", 4), ("One day", 8)])
def test_each_part_begins_where_the_last_one_ends(schedule: str, most: int) -> None:
    times = []
    for begins, _, minutes in rows(schedule):
        hours, rest = begins.split(":")
        times.append((60 * int(hours) + int(rest), int(minutes)))
    assert times[0][0] == 0
    assert all(begin + minutes == following for (begin, minutes), (following, _) in pairwise(times))
    assert sum(times[-1]) <= 60 * most


def test_four_weeks_hold_everything_and_say_their_sums() -> None:
    table = rows("Four weeks")
    for kind, folder in FOLDERS.items():
        numbers = {path.stem[:2] for path in (ROOT / folder).glob("*.ipynb")}
        assert numbers <= {what.split()[1] for _, what, _ in table if what.startswith(kind)}
    sums = [sum(int(minutes) for week, _, minutes in table if week == one) for one in "1234"]
    said = re.search(r"week 1 takes (\d+) minutes, week 2 (\d+), week 3 (\d+), week 4 (\d+)", GUIDE)
    assert said
    assert [int(number) for number in said.groups()] == sums


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_predictions_are_those_of_the_lesson(lesson: Path) -> None:
    assert [(row[0], row[1]) for row in rows(section_of(lesson))] == predictions(lesson)


@pytest.mark.parametrize("lesson", [f"{number:02}" for number in range(10)])
def test_each_lesson_has_its_notes(lesson: str) -> None:
    notes = SECTIONS[next(name for name in SECTIONS if name.startswith(f"Lesson {lesson}:"))]
    for part in ("What people believe", "Show live", "What goes wrong"):
        assert f"**{part}.**" in notes


@pytest.mark.parametrize("page", [GUIDE, ROUTES], ids=["guide", "routes"])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page)
    assert links
    assert all((ROOT / "docs" / link).exists() for link in links)
