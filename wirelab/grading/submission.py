"""Submissions: finding them, reading them, and saying for which lab each one is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .limits import MEBIBYTE, Limits

LAB_NAME = re.compile("(?<![0-9])[0-9]{2}_")


class Unreadable(Exception):
    """A file that cannot be graded. The text says why."""


@dataclass(frozen=True)
class Submission:
    """What a learner handed in.

    Attributes:
        name: its path, as it was given or found.
        lab: the lab that it names itself, if any: by its file name, its metadata or its folder.
        doubt: why that may be wrong, and what to do.
        cells: of a notebook, the number (from 1) and source of each code cell.
        source: of a Python file, its text.
    """

    name: str
    lab: str | None = None
    doubt: str = ""
    cells: tuple[tuple[int, str], ...] = ()
    source: str | None = None


def find(paths: Sequence[str | os.PathLike[str]], lab: str | None, labs: Container[str]) -> Iterator[Path]:
    """All submissions that paths stand for: a file for itself, a folder for all below it, in order of their names.

    Below a folder, a Python file counts if `lab` is given or the path names one: others are somebody's tools.
    Hidden folders, checkpoints among them, and pytest's own files are left out.

    Raises:
        FileNotFoundError: there is nothing at a path.
    """
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(_below(path, lab, labs))
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"there is no {path}")


def _below(folder: Path, lab: str | None, labs: Container[str]) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        for path in (Path(place, name) for name in files if not name.startswith((".", "__", "conftest."))):
            if path.suffix == ".ipynb" or (path.suffix == ".py" and (lab or lab_in_name(path, labs))):
                yield path


def read(path: Path, labs: Container[str], limits: Limits) -> Submission:
    """Read a submission.

    Raises:
        Unreadable: it is too large, or neither a notebook nor a Python file.
    """
    try:
        if not path.is_file():
            raise Unreadable("it is no file")
        if path.stat().st_size > limits.submission_size:
            size, most = path.stat().st_size // MEBIBYTE, limits.submission_size // MEBIBYTE
            raise Unreadable(f"it has {size} MiB and the most is {most} MiB: clear the outputs of its cells")
        data = path.read_bytes()
    except OSError as exc:
        raise Unreadable(exc.strerror or str(exc)) from exc
    if path.suffix != ".ipynb":
        return Submission(str(path), lab_in_name(path, labs), source=_text(data))
    notebook = _notebook(data)
    by_name, by_metadata = lab_in_name(Path(path.name), labs), _lab_in_metadata(notebook)
    lab = by_name or by_metadata or lab_in_name(path, labs)
    doubt = ""
    if by_name and by_metadata and by_name != by_metadata:
        doubt = f"its file name says lab {by_name}, its metadata {by_metadata}: rename it, or give --lab"
    return Submission(str(path), lab, doubt, tuple(_code_cells(notebook)))


def lab_of(path: Path, labs: Container[str]) -> str | None:
    """The lab that a submission names; by its path alone where it cannot be read."""
    try:
        return read(path, labs, Limits()).lab
    except Unreadable:
        return lab_in_name(path, labs)


def lab_in_name(path: Path, labs: Container[str]) -> str | None:
    """The lab that a file is named after, or else the nearest folder above it that is named after one.

    ``01_todo_api.ipynb``, ``01_todo_api-ada.py`` and ``ada_01_todo_api.py`` are named after a lab; nbgrader keeps
    submissions in folders of the assignment's name.
    """
    for name in (path.stem, *reversed(path.parent.parts)):
        for match in LAB_NAME.finditer(name):
            # The longest lab name that the text starts with.
            rest = name[match.start() :]
            for end in range(len(rest), 0, -1):
                if rest[:end] in labs:
                    return rest[:end]
    return None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Unreadable("it is neither a notebook nor Python: it is no UTF-8 text") from exc


def _notebook(data: bytes) -> dict[str, Any]:
    try:
        notebook = json.loads(_text(data))
    except (ValueError, RecursionError) as exc:
        raise Unreadable(f"it is no notebook: {exc}") from exc
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise Unreadable("it is no notebook of format 4: it has no list of cells")
    return notebook


def _lab_in_metadata(notebook: dict[str, Any]) -> str | None:
    metadata = notebook.get("metadata")
    kit = metadata.get("wirelab") if isinstance(metadata, dict) else None
    lab = kit.get("lab") if isinstance(kit, dict) else None
    return lab if isinstance(lab, str) else None


def _code_cells(notebook: dict[str, Any]) -> Iterator[tuple[int, str]]:
    for number, cell in enumerate(notebook["cells"], 1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", "")
            text = "".join(map(str, source)) if isinstance(source, list) else str(source)
            if text.strip():
                yield number, text
