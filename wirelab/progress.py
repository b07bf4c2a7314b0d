"""Progress of what takes longer than a moment, for a person who waits; a stored notebook keeps no trace."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape

from IPython.display import HTML, display

from ._notebook import shell

# Seconds between two redraws.
REDRAW = 0.1


@contextmanager
def progress(label: str, total: float) -> Iterator[Callable[[float], None]]:
    """Show how far some work has come.

    Yields a function to call with what has been done so far, up to `total` (seconds, rounds, ...). It may be
    called as often as one likes. Where nobody watches, as under nbclient, nbval or in a pipe, nothing is shown.
    """
    if not (drawing := _drawing(label)):
        yield _leave_it
        return
    draw, clear = drawing
    drawn = 0.0

    def step(done: float) -> None:
        nonlocal drawn
        now = time.monotonic()
        if now - drawn >= REDRAW:
            drawn = now
            draw(min(1.0, done / total) if total else 1.0)

    try:
        yield step
    finally:
        clear()


def _leave_it(done: float) -> None:
    """Show nothing: whoever times short things shall not time this."""


def _drawing(label: str) -> tuple[Callable[[float], None], Callable[[], None]] | None:
    ip = shell()
    # Front ends with a person behind them let a cell ask for input; programs that run notebooks do not.
    if ip and getattr(getattr(ip, "kernel", None), "_allow_stdin", False):
        return _in_notebook(label)
    if ip is None and sys.stderr.isatty():
        return _in_terminal(label)
    return None


def _in_notebook(label: str) -> tuple[Callable[[float], None], Callable[[], None]]:
    handle = display(HTML(""), display_id=True)

    def draw(share: float) -> None:
        handle.update(HTML(f"<label>{escape(label)} <progress max='1' value='{share:.3f}'></progress></label>"))

    return draw, lambda: handle.update(HTML(""))


def _in_terminal(label: str) -> tuple[Callable[[float], None], Callable[[], None]]:
    def draw(share: float) -> None:
        print(f"\r{label} {share:4.0%}", end="", file=sys.stderr, flush=True)

    return draw, lambda: print("\r\033[K", end="", file=sys.stderr, flush=True)
