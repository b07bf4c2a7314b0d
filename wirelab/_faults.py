"""Say in one line what went wrong, and in which line of the learner's own code."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path

from ._notebook import cell_of

_KIT = Path(__file__).parent
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def describe_error(error: BaseException) -> str:
    """Return type and text of an error and, where it can be seen, the line that it came from."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    line = own_line(traceback.extract_tb(error.__traceback__))
    return f"{text} (in {line.name}: {line.line})" if line else text


def position_of_thread(ident: int | None) -> str:
    """Say where a thread stands: file or cell, line number, and the text of the line."""
    frame = sys._current_frames().get(ident or 0)
    line = own_line(traceback.extract_stack(frame)) if frame else None
    if line is None:
        return "an unknown place"
    return f"{cell_of(line.filename) or line.filename}, line {line.lineno}: {line.line}"


def own_line(frames: traceback.StackSummary) -> traceback.FrameSummary | None:
    """Return the innermost frame that belongs to no library, nor to the kit itself; its `apps` are lessons."""
    return next((frame for frame in reversed(frames) if frame.line and _is_own(Path(frame.filename))), None)


def _is_own(file: Path) -> bool:
    in_kit = file.is_relative_to(_KIT) and not file.is_relative_to(_KIT / "apps")
    return not in_kit and not any(file.is_relative_to(folder) for folder in _LIBRARIES)
