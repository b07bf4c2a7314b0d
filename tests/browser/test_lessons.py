"""The first lesson as its reader meets it, in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jupyterlab_driver import Notebook

pytestmark = pytest.mark.browser
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_start_here_shows_its_figure_its_race_and_its_verdicts(open_notebook: Callable[..., Notebook]) -> None:
    notebook = open_notebook(NOTEBOOKS / "00_start_here.ipynb")
    page = notebook.page
    notebook.run_all()
    figure = page.locator(".jp-OutputArea-output figure img")
    assert figure.evaluate("(image) => image.complete && image.naturalWidth") > 500
    page.get_by_text("The values as a table").click()
    assert page.locator(".wirelab-values td").first.is_visible()
    assert page.locator(".wirelab-verdict").count() == 2
    assert page.locator("[data-lane=poll]").is_visible()
    assert page.locator("img[src*='race']").evaluate("(image) => image.naturalWidth") > 500
    assert notebook.outputs[-1].strip() == "Nobody answers there any more."
