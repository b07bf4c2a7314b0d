"""What a teacher gets of a class, as files: a report for each learner, a gradebook, a summary with a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ..checks import LABS, Result
from ..checks.transcript import LEGEND
from . import formats
from .learners import by_learner, file_name
from .ledger import write_whole
from .losses import Losses, losses, picture
from .report import Report, plain

STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } caption { text-align: left; color: #444; }
th, td { border: 1px solid #999; padding: 0.3rem 0.6rem; text-align: left; vertical-align: top; }
td { white-space: pre-line; } td:nth-child(1), td:nth-child(3) { white-space: nowrap; }
summary { margin-top: 0.6rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f4f4; padding: 0.6rem; margin: 0.3rem 0; }
pre span { display: block; padding-left: 16ch; text-indent: -16ch; }
img { max-width: 100%; }
""".strip()
# The names of what is written beside the learners' reports.
PAGE, PICTURE, GRADEBOOK = "index.html", "summary.png", "gradebook.csv"
# The heading of a transcript.
TRANSCRIPT = "what was sent and received"
WORDS = {True: "passed", False: "not passed", None: "not judged"}


def write_class(folder: Path, reports: Sequence[Report], given: Sequence[str | Path]) -> int:
    """Write everything about a class.

    Args:
        folder: takes ``index.html``, ``summary.png``, ``gradebook.csv`` and ``learners/``.
        reports: of all submissions.
        given: the files and folders that were graded, of which the learners' names are parts.

    Returns:
        How many learners there are.
    """
    learners = by_learner(reports, given, LABS)
    (folder / "learners").mkdir(parents=True, exist_ok=True)
    for learner, theirs in learners.items():
        place = folder / "learners" / file_name(learner)
        _write(place.with_name(f"{place.name}.md"), learner_as_markdown(learner, theirs))
        _write(place.with_name(f"{place.name}.html"), learner_as_html(learner, theirs))
    _write(folder / GRADEBOOK, gradebook(learners))
    lost = losses(reports)
    shown = picture(lost, len(reports))
    write_whole(folder / PICTURE, shown.png)
    _write(folder / PAGE, class_as_html(learners, lost, shown._repr_html_()))
    return len(learners)


def _write(path: Path, text: str) -> None:
    write_whole(path, text.encode("utf-8", "replace"))


def gradebook(learners: dict[str, list[Report]]) -> str:
    """A row for each learner, a column for each lab; of several submissions of a lab the best counts."""
    labs = sorted({report.lab for theirs in learners.values() for report in theirs if report.lab})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["learner", *labs, "total"])
    for learner, theirs in learners.items():
        best = best_of(theirs)
        cells = [learner, *(best.get(lab, "") for lab in labs), plain(sum(best.values()))]
        table.writerow([formats.no_formula(cell) for cell in cells])
    return text.getvalue()


def best_of(reports: Iterable[Report]) -> dict[str, float]:
    """The best score in each lab."""
    best: dict[str, float] = {}
    for report in reports:
        if report.lab:
            best[report.lab] = max(report.score, best.get(report.lab, 0))
    return best


def learner_as_markdown(learner: str, reports: Sequence[Report]) -> str:
    """All that one learner handed in: checks with their messages, and what was sent and received."""
    lines = [f"# {formats.escaped(learner)}", "", formats.as_markdown(reports)]
    if any(map(_transcripts, reports)):
        lines += [LEGEND, ""]
    for report in reports:
        for exercise, told in _transcripts(report):
            title = f"{report.lab}, {exercise}: {TRANSCRIPT}"
            # Indented, so that nothing in it ends the block.
            lines += [f"## {formats.escaped(title)}", "", *(f"    {line}" for line in told), ""]
    return "\n".join(lines)


def _transcripts(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    """Those that hold anything: some exercises call functions, and nothing goes over the wire."""
    return [(exercise, told) for exercise, told in report.transcripts if told]


def learner_as_html(learner: str, reports: Sequence[Report]) -> str:
    """The same as a page."""
    return _page(learner, [part for report in reports for part in _submission(report)])


def _submission(report: Report) -> list[str]:
    parts = [f"<h2>{escape(report.submission)}: {report.score} of {report.max_score}</h2>"]
    if report.error:
        parts.append(f"<p>{escape(report.error)}</p>")
    if report.results:
        caption = f"The checks of lab {report.lab}"
        parts.append(_table(caption, ("", "check", "points", "what happened"), map(_row, report.results)))
    transcripts = _transcripts(report)
    if transcripts:
        parts.append(f"<h3>{TRANSCRIPT[0].upper()}{TRANSCRIPT[1:]}</h3><p>{escape(LEGEND)}</p>")
    for exercise, told in transcripts:
        summary = f"<summary>{escape(exercise)}: {TRANSCRIPT}</summary>"
        lines = "".join(f"<span>{escape(line)}</span>" for line in told)
        parts.append(f"<details>{summary}<pre>{lines}</pre></details>")
    return parts


def _row(result: Result) -> tuple[str, ...]:
    mark = f"{formats.MARKS[result.passed]} {WORDS[result.passed]}"
    return mark, result.id, f"{plain(result.score)} of {plain(result.points)}", formats.advice(result)


def class_as_html(learners: dict[str, list[Report]], lost: Losses, figure: str) -> str:
    """The class at a glance: what cost it most, and every learner's scores."""
    labs = sorted({report.lab for theirs in learners.values() for report in theirs if report.lab})
    rows = []
    for learner, theirs in learners.items():
        best = best_of(theirs)
        link = f'<a href="learners/{escape(file_name(learner))}.html">{escape(learner)}</a>'
        cells = "".join(f"<td>{best.get(lab, '')}</td>" for lab in labs)
        rows.append(f'<tr><th scope="row">{link}</th>{cells}<td>{plain(sum(best.values()))}</td></tr>')
    head = _head(("learner", *labs, "total"))
    table = f"<table><caption>The best score of each learner in each lab</caption>{head}{''.join(rows)}</table>"
    mistakes = [
        (one.lab, one.check, str(one.learners), str(one.points), one.expected) for one in lost.mistakes[:5]
    ]
    parts = ["<h2>What cost most</h2>", figure]
    if mistakes:
        columns = ("lab", "check", "submissions", "points lost", "what was expected")
        parts.append(_table("The five mistakes that cost most", columns, mistakes))
    return _page("The class", [*parts, "<h2>Learners</h2>", table])


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption>{_head(columns)}{body}</table>"


def _head(columns: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{escape(name) or "outcome"}</th>' for name in columns)
    return f"<tr>{cells}</tr>"


def _page(title: str, parts: Iterable[str]) -> str:
    # Nothing of a learner's making may run or be fetched.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style></head>
<body><h1>{escape(title)}</h1>
{body}
</body></html>
"""
