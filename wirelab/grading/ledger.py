"""What has been graded already: a folder of outcomes, so that a class is not graded twice.

An outcome counts as long as the submission, the checks of its lab and the limits are the same: their hash stands
beside it. Each is written as soon as it is there, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from .. import checks
from ..checks import LABS, Result
from .limits import Limits
from .report import Report, make_report
from .submission import Submission


class Ledger:
    """The outcomes in a folder.

    Args:
        folder: made if it is not there.
        limits: what the submissions may use: with other limits they are graded again.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limits = json.dumps(asdict(limits), sort_keys=True)

    def known(self, submission: Submission, lab: str) -> Report | None:
        """The report of an earlier run, if nothing has changed since."""
        try:
            kept = json.loads(self._place(submission.name).read_text("utf-8"))
            if kept["key"] != self._key(submission, lab):
                return None
            results = [Result(**result) for result in kept["results"]]
            return make_report(submission.name, lab, results, kept["error"] or "", kept["transcripts"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, submission: Submission, lab: str, report: Report) -> None:
        """Write down an outcome; safe to call from any thread."""
        text = json.dumps(
            {
                "key": self._key(submission, lab),
                "submission": report.submission,
                "lab": lab,
                "results": [asdict(result) for result in report.results],
                "error": report.error,
                "transcripts": report.transcripts,
            }
        )
        write_whole(self._place(submission.name), text.encode("ascii"))

    def _place(self, name: str) -> Path:
        return self._folder / f"{_hash(os.fsencode(name))[:32]}.json"

    def _key(self, submission: Submission, lab: str) -> str:
        content = json.dumps([lab, submission.cells, submission.source, self._limits])
        return _hash(checks_version(lab).encode(), content.encode("ascii"))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with tempfile.NamedTemporaryFile("wb", dir=path.absolute().parent, delete=False) as file:
        file.write(data)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


@functools.cache
def checks_version(lab: str) -> str:
    """A hash of the lab's checks: of its module and of every module of ``wirelab.checks`` that this one uses."""
    found: dict[str, bytes] = {}
    waiting = [f"{checks.__name__}.{LABS.module_of(lab)}"]
    while waiting:
        name = waiting.pop()
        spec = importlib.util.find_spec(name) if name not in found else None
        if spec and spec.origin:
            found[name] = Path(spec.origin).read_bytes()
            waiting += _imported(found[name], name)
    return _hash(*(name.encode() + b"\0" + found[name] for name in sorted(found)))


def _imported(source: bytes, module: str) -> list[str]:
    """The modules of ``wirelab.checks`` that a module names in its imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(relative, module.rpartition(".")[0]) if node.level else relative
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith(f"{checks.__name__}.") and _is_module(name)]


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()
