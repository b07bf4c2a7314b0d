"""The forms of reports: for people, for gradebooks, for CI."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Any

from ..checks import Result
from .report import Report, plain

if TYPE_CHECKING:
    from rich.table import Table

MARKS = {True: "✓", False: "✗", None: "–"}


def render(form: str, reports: Sequence[Report]) -> str:
    """Write reports in one of the forms that are text."""
    return FORMS[form](reports)


def as_json(one: Report) -> dict[str, Any]:
    """The kit's own form."""
    checks = [
        {
            "id": result.id,
            "passed": bool(result.passed),
            "score": plain(result.score),
            "points": plain(result.points),
            "message": result.message,
            "hint": result.hint,
        }
        for result in one.results
    ]
    return {
        "submission": one.submission,
        "lab": one.lab,
        "score": one.score,
        "max_score": one.max_score,
        "checks": checks,
        "error": one.error,
    }


def as_gradescope(one: Report) -> dict[str, Any]:
    """Gradescope's ``results.json`` (gradescope-autograders.readthedocs.io, "Autograder Specifications")."""
    tests = [
        {
            "name": result.id,
            "score": plain(result.score),
            "max_score": plain(result.points),
            "status": "passed" if result.passed else "failed",
            "visibility": "visible",
            "output": advice(result),
        }
        for result in one.results
    ]
    return {"score": one.score, "output": one.error or "", "tests": tests}


def as_classroom50(one: Report) -> dict[str, Any]:
    """Classroom 50's ``classroom50/result/v1``; what it says of the commit comes from its runner's variables.

    Scores there are whole numbers: all are multiplied by the smallest number that makes them so.
    """
    scale = lcm(*(Fraction(result.points).limit_denominator(1000).denominator for result in one.results))
    tests = [
        {
            "test-name": result.id,
            "passed": bool(result.passed),
            "score": round(result.score * scale),
            "max-score": round(result.points * scale),
        }
        for result in one.results
    ]
    runner = os.environ
    commit = runner.get("COMMIT_URL", "unknown")
    return {
        "schema": "classroom50/result/v1",
        "classroom": runner.get("CLASSROOM", "unknown"),
        "assignment": runner.get("ASSIGNMENT", one.lab or "unknown"),
        "submission": runner.get("SUBMISSION_TAG", f"submit/{one.submission}"),
        "commit": commit,
        "release": runner.get("RELEASE_URL", commit),
        "review": runner.get("REVIEW_URL") or commit,
        "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": sum(test["score"] for test in tests),
        "max-score": sum(test["max-score"] for test in tests),
        "tests": tests,
    }


def advice(result: Result) -> str:
    """The message, and a hint where there is one."""
    return result.message if result.passed or not result.hint else f"{result.message}\nHint: {result.hint}"


def json_lines(form: Callable[[Report], dict[str, Any]], reports: Sequence[Report]) -> str:
    """Write one object a line."""
    return "".join(json.dumps(form(one)) + "\n" for one in reports)


def as_junit(reports: Sequence[Report]) -> str:
    """JUnit XML: a suite for each submission, a case for each check, points among its properties."""
    suites = ET.Element("testsuites", name="wirelab")
    for one in reports:
        missed = [result for result in one.results if not result.passed]
        suite = ET.SubElement(
            suites,
            "testsuite",
            name=one.submission,
            tests=str(len(one.results) or 1),
            failures=str(len(missed)),
            errors="0" if one.results else "1",
        )
        _properties(suite, lab=one.lab or "", score=one.score, max_score=one.max_score)
        for result in one.results:
            case = ET.SubElement(suite, "testcase", classname=one.lab or "", name=result.id)
            _properties(case, score=plain(result.score), points=plain(result.points))
            if not result.passed:
                ET.SubElement(case, "failure", message=result.message).text = advice(result)
        if not one.results:
            case = ET.SubElement(suite, "testcase", classname="wirelab", name="submission")
            ET.SubElement(case, "error", message=one.error or "")
        elif one.error:
            ET.SubElement(suite, "system-err").text = one.error
    xml: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return xml.decode("utf-8") + "\n"


def _properties(parent: ET.Element, **values: object) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=str(value))


def as_csv(reports: Sequence[Report]) -> str:
    """A gradebook: a row for each submission, a column for each check."""
    checks = list(dict.fromkeys(result.id for one in reports for result in one.results))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["submission", "lab", "score", "max_score", *checks, "error"])
    for one in reports:
        scores = {result.id: plain(result.score) for result in one.results}
        row = [one.submission, one.lab or "", one.score, one.max_score, *(scores.get(name, "") for name in checks)]
        table.writerow([no_formula(cell) for cell in [*row, one.error or ""]])
    return text.getvalue()


def no_formula(cell: object) -> object:
    """Keep spreadsheets from running a text (OWASP, "CSV Injection")."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def as_markdown(reports: Sequence[Report]) -> str:
    """A summary for a pull request or a CI job."""
    lines = []
    for one in reports:
        lines += [f"### {escaped(one.submission)}: {one.score} of {one.max_score}", ""]
        if one.error:
            lines += [escaped(one.error), ""]
        if one.results:
            lines += ["| | check | points | |", "|---|---|---|---|"]
        for result in one.results:
            points = f"{plain(result.score)} of {plain(result.points)}"
            lines.append(f"| {MARKS[result.passed]} | {result.id} | {points} | {escaped(advice(result))} |")
        lines.append("")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """A text as Markdown that shows just that."""
    return re.sub(r"([\\`*_\[\]<>|&#@~!])", r"\\\1", text.replace("\n", " "))


def as_table(reports: Sequence[Report]) -> Table:
    """For people: every check of one submission, or one line for each of many."""
    return _checks_of(reports[0]) if len(reports) == 1 else _lines_of(reports)


def _checks_of(one: Report) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{one.submission}: {one.score} of {one.max_score}"), title_justify="left")
    if one.error:
        table.caption = Text(one.error)
        table.caption_justify = "left"
    for column in ("", "check", "points", "what happened"):
        table.add_column(column)
    for result in one.results:
        points = f"{plain(result.score)}/{plain(result.points)}"
        table.add_row(MARKS[result.passed], result.id, points, Text(advice(result)))
    return table


def _lines_of(reports: Sequence[Report]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in ("submission", "lab", "score", "not passed"):
        table.add_column(column, overflow="fold")
    for one in reports:
        missed = [result.id for result in one.results if not result.passed]
        remarks = ", ".join(missed) + (f" ({one.error})" if one.error else "")
        table.add_row(Text(one.submission), one.lab or "?", f"{one.score}/{one.max_score}", Text(remarks.strip()))
    return table


FORMS: dict[str, Callable[[Sequence[Report]], str]] = {
    "json": lambda reports: json_lines(as_json, reports),
    "junit": as_junit,
    "csv": as_csv,
    "markdown": as_markdown,
    "gradescope": lambda reports: json_lines(as_gradescope, reports),
    "classroom50": lambda reports: json_lines(as_classroom50, reports),
}
