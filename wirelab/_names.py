"""From an application to its name and back: for messages, for `serve`, and for another process."""

from __future__ import annotations

import importlib
import inspect
import itertools
import linecache
from collections.abc import Callable
from types import FrameType
from typing import Any

from ._engines import StartFailed, describe


def name_of(app: Any) -> str:
    """Name an application: by its dotted name, its function's name, or as the call of `serve` spells it."""
    if isinstance(app, str):
        return app
    name = str(getattr(app, "__qualname__", "<"))
    # The same function within another one, <locals>, and most objects have no name that tells them apart.
    return name if "<" not in name else as_written() or type(app).__name__


def as_written() -> str:
    """Return the first argument of the call of `serve` or `Link` as it is written, or "" without its source."""
    return _as_written(_calling_frame())


def load(app: Any, *, factory: bool = False) -> Any:
    """Import an application given by its dotted name, and call it if it is a factory.

    Raises:
        StartFailed: there is no such module or attribute, or the module or the factory fails.
    """
    if isinstance(app, str):
        module, _, path = app.partition(":")
        if not (module and path):
            raise StartFailed("a dotted name has a colon before its attribute, as in 'wirelab.apps.todos:app'")
        app = _mended("import", "the name or the module", lambda: _imported(module, path))
    return _mended("factory", "that function", app) if factory else app


def dotted_name(app: Any) -> str:
    """Return the name under which another process can import an application.

    Raises:
        StartFailed: it has none.
    """
    if isinstance(app, str):
        return app
    module, path = getattr(app, "__module__", ""), getattr(app, "__qualname__", "")
    try:
        importable = module != "__main__" and _imported(module, path) is app
    except (ImportError, AttributeError, ValueError):
        importable = False
    if not importable:
        raise StartFailed(
            f"process=True needs what another process can import, such as 'wirelab.apps.todos:app', and "
            f"{describe(app)} exists only in this one, so write it to a file and name that"
        )
    return f"{module}:{path}"


def _imported(module: str, path: str) -> Any:
    found: Any = importlib.import_module(module)
    for attribute in path.split("."):
        found = getattr(found, attribute)
    return found


def _mended(step: str, culprit: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except (Exception, SystemExit) as exc:
        # SystemExit too: a script that ends itself on import is not to end the notebook.
        raise StartFailed(f"its {step} raised {exc!r}, so mend {culprit}") from exc


def _calling_frame() -> FrameType | None:
    """Find the call of `serve` or `Link`, from within it."""
    frame = inspect.currentframe()
    while frame and frame.f_globals.get("__name__") in (__name__, "wirelab.serving", "wirelab.link"):
        frame = frame.f_back
    return frame


def _as_written(frame: FrameType | None) -> str:
    """Return the text of the first argument in the call that a frame is making, or "" without its source."""
    if frame is None:
        return ""
    # Where the instruction comes from (PEP 657): lines from 1, columns in bytes from 0.
    spans = frame.f_code.co_positions()
    line, end_line, column, end_column = next(itertools.islice(spans, frame.f_lasti // 2, None))
    text = linecache.getlines(frame.f_code.co_filename)
    if line is None or end_line is None or len(text) < end_line:
        return ""
    rows = [row.encode() for row in text[line - 1 : end_line]]
    rows[-1] = rows[-1][:end_column]
    rows[0] = rows[0][column:]
    return _first_argument(b" ".join(rows).decode())


def _first_argument(call: str) -> str:
    # Not with ast.parse: in Python 3.11 that may fail while another thread parses too (cpython issue 106905).
    arguments = call[call.find("(") + 1 : call.rfind(")")]
    depth = 0
    for position, character in enumerate(arguments):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            arguments = arguments[:position]
            break
    return " ".join(arguments.split())
