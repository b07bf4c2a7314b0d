"""The register of claims: each statement of the article, with what the lessons found when they tried it.

The register (``docs/claims.toml``) says which verdicts try which statement; the verdicts come from the outputs of
the executed lessons; `page` makes a readable table of both.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import nbformat

from .lesson import FINDINGS, VERDICT_CLASS


class ClaimsError(ValueError):
    """The register and the lessons do not fit together. The message says what to change."""


@dataclass(frozen=True)
class Statement:
    """A statement of the article.

    Attributes:
        topic: the row of the article's ideas that it belongs to.
        says: the statement, in our words.
        claims: keys of the verdicts that try it.
        awaits: a lesson without which some of them may be missing; empty if none may.
    """

    topic: str
    says: str
    claims: tuple[str, ...]
    awaits: str = ""


@dataclass(frozen=True)
class Tried:
    """A verdict as a lesson's stored output shows it.

    Attributes:
        lesson: the notebook's name, without its ending.
        cell: the id of the cell that concludes.
        claim: the verdict's key.
        finding: "holds", "does not hold" or "it depends".
        says: the statement that was put to the test.
        limits: the conditions under which this was found.
    """

    lesson: str
    cell: str
    claim: str
    finding: str
    says: str
    limits: str


def read_register(path: Path) -> list[Statement]:
    """Read the register.

    Raises:
        ClaimsError: it is no TOML, or an entry lacks something or has something unknown.
    """
    try:
        entries = tomllib.loads(path.read_text("utf-8"))["statement"]
        return [Statement(**{**entry, "claims": tuple(entry["claims"])}) for entry in entries]
    except ValueError as exc:
        raise ClaimsError(f"{path.name} is no TOML: {exc}.") from exc
    except (TypeError, KeyError) as exc:
        raise ClaimsError(f"{path.name}: each statement needs topic, says and claims ({exc}).") from exc


def verdicts(lessons: Path) -> dict[str, Tried]:
    """The verdicts in the stored outputs of a folder's notebooks, by their keys.

    Raises:
        ClaimsError: two cells give the same key.
    """
    found: dict[str, Tried] = {}
    for path in sorted(lessons.glob("*.ipynb")):
        for tried in _verdicts_of(path):
            if tried.claim in found:
                first = found[tried.claim]
                raise ClaimsError(
                    f"{tried.lesson} ({tried.cell}) and {first.lesson} ({first.cell}) both give a verdict on "
                    f"{tried.claim!r}: name one of them otherwise."
                )
            found[tried.claim] = tried
    return found


def _verdicts_of(path: Path) -> Iterator[Tried]:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    words_of: dict[str | None, str] = {finding: words for finding, (words, _) in FINDINGS.items()}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            html = output.get("data", {}).get("text/html", "")
            attributes = _VerdictTag(html).attributes
            if attributes is not None:
                lines = output.data["text/plain"].splitlines()
                yield Tried(
                    path.stem,
                    cell.id,
                    attributes["data-claim"] or "",
                    words_of[attributes["data-finding"]],
                    lines[0].removeprefix("Statement: "),
                    lines[-1].removeprefix("Limits:").strip(),
                )


class _VerdictTag(HTMLParser):
    """The attributes of the tag that holds a verdict, or None."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.attributes: dict[str, str | None] | None = None
        if VERDICT_CLASS in html:
            self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if dict(attrs).get("class") == VERDICT_CLASS:
            self.attributes = dict(attrs)


def missing(register: Iterable[Statement], tried: Mapping[str, Tried], lessons: Iterable[str]) -> list[str]:
    """Say which statements lack a verdict, although no lesson that they await is still to come."""
    there = set(lessons)
    return [
        f"{statement.topic}: {statement.says} No lesson gives a verdict on {claim!r}."
        for statement in register
        for claim in statement.claims
        if claim not in tried and (not statement.awaits or statement.awaits in there)
    ]


def page(register: Iterable[Statement], tried: Mapping[str, Tried]) -> str:
    """The register as a page of Markdown, to stand in a folder beside the lessons' one."""
    lines = [
        "# What the article claims, and what the lessons measured",
        "",
        "Every statement of the article is a hypothesis. This table is made from the outputs of the executed",
        "lessons: run a lesson, and its verdicts are tried on your own machine; one that your measurement",
        "contradicts fails loudly. Behind the lesson stands the cell that concludes.",
    ]
    topic, used = "", set()
    for statement in register:
        if statement.topic != topic:
            topic = statement.topic
            lines += [
                "",
                f"## {topic}",
                "",
                "| statement | verdict | conditions | tried in |",
                "|---|---|---|---|",
            ]
        for place, claim in enumerate(statement.claims):
            says = _cell(statement.says) if place == 0 else ""
            used.add(claim)
            if claim in tried:
                lines.append(f"| {says} | {_outcome(tried[claim])}")
            else:
                lines.append(f"| {says} | not tried yet | | lesson {statement.awaits} |")
    rest = [verdict for claim, verdict in sorted(tried.items()) if claim not in used]
    if rest:
        lines += ["", "## Also tried", "", "| statement | verdict | conditions | tried in |", "|---|---|---|---|"]
        lines += [f"| {_cell(verdict.says)} | **{verdict.finding}** | {_rest(verdict)}" for verdict in rest]
    return "\n".join(lines) + "\n"


def _outcome(tried: Tried) -> str:
    return f"“{_cell(tried.says)}” **{tried.finding}** | {_rest(tried)}"


def _rest(tried: Tried) -> str:
    return f"{_cell(tried.limits)} | [{tried.lesson}](../notebooks/{tried.lesson}.ipynb), `{tried.cell}` |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def write_page(register: Path, lessons: Path, *, check: bool = False) -> Path | None:
    """Make the page beside the register, of the same name.

    Args:
        register: the register's file.
        lessons: the folder of the executed lessons.
        check: write nothing.

    Returns:
        The page if it was not what the register and the lessons say. With `check` it still is not; otherwise it is
        up to date now.

    Raises:
        ClaimsError: the register and the lessons do not fit together.
    """
    statements, tried = read_register(register), verdicts(lessons)
    unproved = missing(statements, tried, (path.stem for path in lessons.glob("*.ipynb")))
    if unproved:
        raise ClaimsError(" ".join(unproved))
    target, text = register.with_suffix(".md"), page(statements, tried)
    if target.exists() and target.read_text("utf-8") == text:
        return None
    if not check:
        target.write_text(text, "utf-8", newline="\n")
    return target
