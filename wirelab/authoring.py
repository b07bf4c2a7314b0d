"""Make the labs from their solutions: `build`.

A solution is a notebook whose cells carry nbgrader's metadata (version 3). Its lab is the same notebook as
nbgrader's ``generate_assignment`` would release it: what stands between ``### BEGIN SOLUTION`` and
``### END SOLUTION`` gives way to a stub, outputs are gone, cells are locked, and each has its checksum. So a class
that runs nbgrader can take either file; nbgrader itself is not needed here.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")
TEXT_STUB = ("YOUR ANSWER HERE",)
BEGIN, END = "BEGIN SOLUTION", "END SOLUTION"
# What a front end stores about how outputs are shown.
OUTPUT_METADATA = ("collapsed", "scrolled")
# Every member that nbgrader allows in a cell's metadata.
MEMBERS = {
    *("schema_version", "grade", "locked", "solution", "task"),
    *("grade_id", "points", "checksum", "cell_type"),
}


class AuthoringError(ValueError):
    """A solution cannot become a lab. The message names the notebook, the cell and what to change."""


def build(solutions: Path, labs: Path, *, check: bool = False) -> list[Path]:
    """Make a lab from each solution, and remove labs that have none.

    Args:
        solutions: folder of the solutions, ``NN_lab.ipynb``.
        labs: folder of the labs, of the same names.
        check: write nothing.

    Returns:
        The labs that were not what their solutions say, or not there, or without a solution. With `check` they
        still are; otherwise they are up to date now.

    Raises:
        AuthoringError: a solution cannot become a lab.
    """
    wanted = {labs / path.name: lab_text(path) for path in sorted(solutions.glob("*.ipynb"))}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    orphans = [path for path in sorted(labs.glob("*.ipynb")) if path not in wanted]
    if not check:
        labs.mkdir(exist_ok=True)
        for path in stale:
            path.write_text(wanted[path], "utf-8", newline="\n")
        for path in orphans:
            path.unlink()
    return stale + orphans


def lab_text(solution: Path) -> str:
    """The lab's file for a solution's file.

    Raises:
        AuthoringError: the solution cannot become a lab.
    """
    notebook = nbformat.read(solution, as_version=4)  # type: ignore[no-untyped-call]
    faults = list(faults_of(notebook))
    if faults:
        raise AuthoringError(f"{solution.name}: {'; '.join(faults)}.")
    return str(nbformat.writes(lab_of(notebook))) + "\n"  # type: ignore[no-untyped-call]


def lab_of(solution: NotebookNode) -> NotebookNode:
    """The lab for a solution's notebook, which stays as it is."""
    lab = copy.deepcopy(solution)
    for cell in lab.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            for name in OUTPUT_METADATA:
                cell.metadata.pop(name, None)
        own = cell.metadata.get("nbgrader")
        if own and (own.solution or own.grade or own.locked):
            cell.metadata["deletable"] = False
            if own.solution:
                cell.source = without_solution(cell.source, STUB if cell.cell_type == "code" else TEXT_STUB)
            else:
                cell.metadata["editable"] = False
            own.update(checksum=checksum(cell), cell_type=cell.cell_type)
    return lab


def without_solution(source: str, stub: tuple[str, ...]) -> str:
    """Put a stub in the place of each solution; the whole source is one if no part is marked."""
    kept: list[str] = []
    inside = marked = False
    for line in source.split("\n"):
        if BEGIN in line:
            inside = marked = True
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + stub_line for stub_line in stub]
        elif END in line:
            inside = False
        elif not inside:
            kept.append(line)
    return "\n".join(kept if marked else stub)


def checksum(cell: NotebookNode) -> str:
    """The checksum by which nbgrader recognises a cell that was changed (``nbgrader.utils.compute_checksum``)."""
    own = cell.metadata.nbgrader
    locked = not own.solution and (own.grade or own.locked)
    parts = [cell.source, cell.cell_type, str(own.grade), str(own.solution), str(locked), own.grade_id]
    if own.grade:
        parts.append(str(float(own.points)))
    # Not for security: a format that others have fixed.
    return hashlib.md5("".join(parts).encode("utf-8"), usedforsecurity=False).hexdigest()


def faults_of(solution: NotebookNode) -> Iterator[str]:
    """Say of each cell what keeps a solution from becoming a lab."""
    seen: set[str] = set()
    if "lab" not in solution.metadata.get("wirelab", {}):
        yield "the notebook's metadata has no wirelab.lab"
    for cell in solution.cells:
        own = cell.metadata.get("nbgrader")
        for fault in _solution_faults(cell, own) if own is None else _metadata_faults(cell, own):
            yield f"cell {cell.id}: {fault}"
        if own and own.get("grade_id") in seen:
            yield f"cell {cell.id}: another cell has the grade_id {own.grade_id}"
        seen.add(own.get("grade_id") if own else "")


def _metadata_faults(cell: NotebookNode, own: NotebookNode) -> Iterator[str]:
    if extra := own.keys() - MEMBERS:
        yield f"nbgrader allows no {', '.join(sorted(extra))} in its metadata"
    if own.get("schema_version") != 3:
        yield "nbgrader's schema_version must be 3"
    if missing := {"grade", "solution", "locked", "grade_id"} - own.keys():
        yield f"nbgrader's metadata needs {', '.join(sorted(missing))}"
    else:
        if not re.fullmatch(r"[a-zA-Z0-9_\-]+", own.grade_id):
            yield f"the grade_id {own.grade_id!r} may have letters, digits, _ and - only"
        if own.grade != ("points" in own):
            yield "a graded cell has points, and no other"
        yield from _solution_faults(cell, own)


def _solution_faults(cell: NotebookNode, own: NotebookNode | None) -> Iterator[str]:
    marks = [line.strip() for line in cell.source.split("\n") if BEGIN in line or END in line]
    if marks and not (own and own.solution):
        yield "it has a solution, but is no answer cell"
    if any((BEGIN in mark) != (place % 2 == 0) for place, mark in enumerate(marks)) or len(marks) % 2:
        yield f"each {BEGIN} needs its {END}"
