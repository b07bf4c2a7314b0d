"""Lessons as their readers meet them, in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

if TYPE_CHECKING:
    from jupyterlab_driver import Notebook

    OpenNotebook = Callable[..., Notebook]

pytestmark = pytest.mark.browser
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# Whether a lane of the race has seen so many updates.
SEEN = """([lane, count]) =>
    Number(document.querySelector(`[data-lane=${lane}] [data-field=seen]`)?.textContent) >= count"""


class Lesson:
    """A lesson that was run from top to bottom, and looks as it should."""

    def __init__(self, open_notebook: OpenNotebook, name: str) -> None:
        cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
        self.code = [cell for cell in cells if cell.cell_type == "code"]
        self.notebook = open_notebook(NOTEBOOKS / f"{name}.ipynb")
        self.page = self.notebook.page
        self.notebook.run_all()
        self.shows_all_that_is_stored()

    def shows_all_that_is_stored(self) -> None:
        """Look for each verdict, figure, table and picture of the stored lesson."""
        stored = [
            output.data.get("text/html", "") for cell in self.code for output in cell.outputs if "data" in output
        ]
        verdicts = self.page.locator(".wirelab-verdict")
        assert verdicts.count() == sum("wirelab-verdict" in html for html in stored)
        assert verdicts.last.is_visible()
        figures = self.page.locator(".jp-OutputArea-output figure img")
        assert figures.count() == sum("<figure" in html for html in stored)
        pictures = self.page.locator(".jp-OutputArea-output figure img, .jp-MarkdownOutput img")
        assert all(width > 500 for width in pictures.evaluate_all("(all) => all.map((each) => each.naturalWidth)"))
        self.page.get_by_text("The values as a table").first.click()
        assert self.page.locator(".wirelab-values td").first.is_visible()
        wide = self.page.locator(".jp-OutputArea-output :is(figure, table)")
        assert all(wide.evaluate_all("(all) => all.map((each) => each.scrollWidth <= each.clientWidth + 1)"))

    def run(self, cell_id: str) -> None:
        """Run one cell again."""
        self.notebook.run_cell([cell.id for cell in self.code].index(cell_id))

    def wait_until_seen(self, count: int) -> None:
        """Wait until both lanes of the race have seen so many updates."""
        for lane in ("poll", "push"):
            self.page.wait_for_function(SEEN, arg=[lane, count], timeout=20_000)


def test_start_here_shows_its_figure_its_race_and_its_verdicts(open_notebook: OpenNotebook) -> None:
    lesson = Lesson(open_notebook, "00_start_here")
    assert lesson.page.locator("[data-lane=poll]").is_visible()
    assert lesson.notebook.outputs[-1].strip() == "Nobody answers there any more."


def test_polling_vs_push_measures_and_races(open_notebook: OpenNotebook) -> None:
    lesson = Lesson(open_notebook, "04_polling_vs_push")
    # The lesson has stopped its servers: the race needs its own again.
    lesson.run("live")
    lesson.wait_until_seen(3)


def test_better_together_shows_a_board_that_is_live_and_never_lies(open_notebook: OpenNotebook) -> None:
    lesson = Lesson(open_notebook, "08_better_together")
    board = lesson.page.frame_locator(".wirelab-page iframe")
    board.locator("#state", has_text="Connection lost").wait_for(timeout=20_000)
    lesson.run("page")
    board.locator("#state", has_text="Live").wait_for(timeout=20_000)
    lesson.run("page-change")
    board.locator("[data-status=Done] .card", has_text="Say hello from the notebook").wait_for()
    board.locator("#log", has_text="In progress: Say hello from the notebook").wait_for()
    board.get_by_label("New todo").fill("Written in the page")
    board.get_by_label("New todo").press("Enter")
    board.locator("[data-status=Pending] .card", has_text="Written in the page").wait_for()
