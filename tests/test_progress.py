"""Progress shows to a person who waits, and leaves no trace in a stored notebook."""

from __future__ import annotations

import io
import sys
import time
from typing import Any

import nbformat
import pytest
from kernel_support import kernel
from nbclient import NotebookClient

from wirelab import progress as module
from wirelab.progress import progress

WORK = """
from wirelab.progress import progress, REDRAW
import time
with progress("Polling <fast>", total=4) as step:
    for n in range(5):
        step(n)
        time.sleep(REDRAW * 1.5)
print("done")
"""


def test_a_person_sees_how_far_it_is_and_then_nothing() -> None:
    with kernel() as notebook:
        cell = notebook.run(WORK, allow_stdin=True)
        first, *steps, last = cell.displays
        assert (first, last) == ("", "")
        assert [step.split("value=")[1][:7] for step in steps] == [
            "'0.000'",
            "'0.250'",
            "'0.500'",
            "'0.750'",
            "'1.000'",
        ]
        assert all("Polling &lt;fast&gt;" in step for step in steps)
        assert (cell.stdout, cell.stderr) == ("done\n", "")
        # An interrupt or an error takes it away too.
        cell = notebook.run(
            "with progress('Work', 1) as step:\n    step(0.5)\n    1 / 0", allow_stdin=True, fails=True
        )
        assert "Work" in cell.displays[1]
        assert cell.displays[-1] == ""
        # Nobody watches a program that runs notebooks.
        assert notebook.run(WORK, allow_stdin=False).displays == []


def test_a_stored_notebook_keeps_no_trace() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(WORK)])  # type: ignore[no-untyped-call]
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    assert [dict(output) for output in notebook.cells[0].outputs] == [
        {"output_type": "stream", "name": "stdout", "text": "done\n"}
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_and_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(module, "REDRAW", 0.0)
    with progress("Work", 2.0) as step:
        step(1.0)
        step(5.0)
    assert screen.getvalue() == "\rWork  50%\rWork 100%\r\033[K"


def test_a_pipe_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with progress("Work", 1.0) as step:
        step(1.0)
    assert pipe.getvalue() == ""


def test_it_redraws_no_more_often_than_a_person_can_see(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []
    monkeypatch.setattr(module, "_drawing", lambda label: (drawn.append, lambda: None))
    begin = time.monotonic()
    with progress("Work", 1000.0) as step:
        for n in range(1000):
            step(n)
    assert 1 <= len(drawn) <= 1 + (time.monotonic() - begin) / module.REDRAW


def test_work_without_extent_is_done(monkeypatch: Any) -> None:
    drawn: list[float] = []
    monkeypatch.setattr(module, "_drawing", lambda label: (drawn.append, lambda: None))
    with progress("Nothing to do", total=0) as step:
        step(0)
    assert drawn == [1.0]
