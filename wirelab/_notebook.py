"""What the kit asks of the notebook it was called from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_cells_ended = 0


def shell() -> Any:
    """Return IPython's shell, or None outside of it; does not import IPython."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module else None


def current_cell() -> int | None:
    """Number the cell that runs, within those since the first that asked; None outside a notebook.

    IPython's execution count does not do: it stands still where cells run without history, as nbval runs them.
    """
    after_each_cell(_count_cell)
    return _cells_ended + 1 if shell() else None


def _count_cell(_result: object) -> None:
    global _cells_ended
    _cells_ended += 1


def cell_of(filename: str) -> str | None:
    """Name the cell whose code IPython keeps under a file name, as its tracebacks do: ``Cell In[3]``."""
    ip = shell()
    found = ip.compile.format_code_name(filename) if ip else None
    return " ".join(found) if found else None


def after_each_cell(report: Callable[[object], None]) -> None:
    """Call `report` with the cell's result at the end of each cell from now on, within the cell's output."""
    ip = shell()
    if ip:
        # Registered twice, it is called once all the same.
        ip.events.register("post_run_cell", report)
