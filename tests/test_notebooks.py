"""What every lesson and solution has to keep, besides its outputs, which nbval compares."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = [*LESSONS, *sorted((ROOT / "solutions").glob("*.ipynb"))]


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def outputs(path: Path) -> list[Any]:
    return [output for cell in code_cells(path) for output in cell.outputs]


def html_outputs(path: Path) -> list[str]:
    return [output.data["text/html"] for output in outputs(path) if "text/html" in output.get("data", {})]


class Tags(HTMLParser):
    """The tags of a piece of HTML, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
class TestStoredNotebook:
    def test_was_executed_without_errors(self, path: Path) -> None:
        for cell in code_cells(path):
            assert cell.execution_count is not None, f"run {cell.id} and store its output"
            for output in cell.outputs:
                assert output.output_type != "error", f"{cell.id} failed"
                assert output.get("name") != "stderr", f"{cell.id} wrote to stderr: {output.text}"

    def test_keeps_no_timing_and_no_path_of_the_author(self, path: Path) -> None:
        assert not [cell.id for cell in code_cells(path) if "execution" in cell.metadata]
        assert not re.search(r"/(home|root|Users|tmp)/", path.read_text())

    def test_headings_step_down_one_level_at_a_time(self, path: Path) -> None:
        text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        levels = [len(hashes) for hashes in re.findall(r"^(#+) ", text, flags=re.MULTILINE)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(below <= above + 1 for above, below in pairwise(levels))

    def test_every_picture_has_alternative_text_and_its_values(self, path: Path) -> None:
        assert not [o for o in outputs(path) if "image/png" in o.get("data", {})], "show figures with plots.show"
        for html in html_outputs(path):
            tags = Tags(html)
            for image in tags.named("img"):
                assert len(image["alt"] or "") > 40, "say in the alternative text what is to be seen"
                assert tags.named("td"), "a figure shows its values as a table too"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
class TestLesson:
    def test_has_a_prediction_a_verdict_and_a_figure(self, path: Path) -> None:
        source = "\n".join(cell.source for cell in code_cells(path))
        assert "predict(" in source
        assert "mark_prediction(" in source
        assert any("wirelab-verdict" in html for html in html_outputs(path))

    def test_says_its_minutes(self, path: Path) -> None:
        notebook = read(path)
        assert f"About {notebook.metadata.wirelab['minutes']} minutes" in notebook.cells[0].source

    # More than two runs of a lesson, and each of its cells has its own limit.
    @pytest.mark.timeout(400)
    def test_runs_again_and_out_of_order_and_leaves_nothing_behind(self, path: Path) -> None:
        notebook = read(path)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert "stop_all()" in cells[-1].source
        experiments = [cell for cell in cells if "experiment" in cell.metadata.get("tags", [])]
        assert experiments, "tag the cells that measure with 'experiment'"
        shuffled = random.sample(experiments, len(experiments))
        client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(path.parent)}})
        with client.setup_kernel():
            for cell in [*cells[:-1], *shuffled, *cells]:
                client.execute_cell(cell, notebook.cells.index(cell))
            rest = client.execute_cell(nbformat.v4.new_code_cell(LEFT_BEHIND), 0)
        assert rest.outputs[0].text == "[] []\n"


LEFT_BEHIND = """
import threading, os, glob
threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("wirelab")]
children = [open(path).read() for path in glob.glob(f"/proc/{os.getpid()}/task/*/children")]
print(threads, [pids for pids in children if pids.strip()])
"""
