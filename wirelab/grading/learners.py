"""Who handed in what: the learners of a class, by the names of their files and folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from .report import Report
from .submission import LAB_NAME

# What a name keeps for its report's file name; a name that is more than this gets a part of its hash as well.
PLAIN_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,60}")


def by_learner(
    reports: Iterable[Report], given: Sequence[str | Path], labs: Container[str]
) -> dict[str, list[Report]]:
    """Sort reports by who handed in, in the order of the learners' names.

    Args:
        reports: of a class.
        given: the files and folders that were graded.
        labs: the names of all labs.
    """
    learners: dict[str, list[Report]] = {}
    for report in reports:
        learners.setdefault(learner_of(Path(report.submission), given, labs), []).append(report)
    return dict(sorted(learners.items()))


def learner_of(path: Path, given: Sequence[str | Path], labs: Container[str]) -> str:
    """The name of a submission's learner: the first part of its path, below what was given, that is no lab's name.

    So ``ada/01_todo_api.ipynb``, ``ada/01_todo_api/01_todo_api.ipynb``, ``01_todo_api/ada.ipynb``,
    ``01_todo_api-ada.py`` and ``ada.ipynb`` are all Ada's. Where no such part is left it is the whole path.
    """
    below = next((path.relative_to(folder) for folder in given if path.is_relative_to(folder)), path)
    parts = [*below.parent.parts, below.stem] if below.name else [path.stem]
    names = (_without_lab(part, labs) for part in parts)
    return next(filter(None, names), str(path))


def _without_lab(name: str, labs: Container[str]) -> str:
    for match in LAB_NAME.finditer(name):
        start = match.start()
        for end in range(len(name), start, -1):
            if name[start:end] in labs:
                return (name[:start] + name[end:]).strip(" -_.")
    return name


def file_name(learner: str) -> str:
    """The name of a learner's report, without its ending: no two learners have the same, on any file system."""
    if PLAIN_NAME.fullmatch(learner):
        return learner
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", learner).strip("-")[:60]
    return f"{plain}-{hashlib.sha256(learner.encode('utf-8', 'replace')).hexdigest()[:8]}".lstrip("-")
