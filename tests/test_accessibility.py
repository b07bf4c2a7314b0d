"""Colours can be read and told apart, and pages have an order: WCAG 2.2, level AA.

The numbers of its success criteria stand beside what is held against them. That each figure has alternative text
and a table, tests/test_notebooks.py says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations, pairwise
from pathlib import Path

import nbformat
import numpy as np
import pytest
from numpy.typing import NDArray

from wirelab import lab, lesson, plots

ROOT = Path(__file__).parent.parent
RACE = (ROOT / "wirelab" / "static" / "race.css").read_text("utf-8")
BOARD = (ROOT / "wirelab" / "apps" / "board.css").read_text("utf-8")
NOTEBOOKS = [path for folder in ("notebooks", "labs", "solutions") for path in (ROOT / folder).glob("*.ipynb")]
PROSE = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# 1.4.3 for text of ordinary size; 1.4.11 for the parts of controls and graphics.
TEXT, GRAPHIC = 4.5, 3.0
# What stands behind a cell's output, and behind a panel, in JupyterLab's two themes.
LIGHT, DARK = ("#ffffff",), ("#111111", "#212121")
# Its colours of text there, laid over that.
JUPYTER_LIGHT = {"--jp-ui-font-color1": "#212121", "--jp-ui-font-color2": "#757575"}

# What people with a common colour blindness see of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN_BY = {
    "everybody else": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> NDArray[np.float64]:
    """Linear RGB, from 0 to 1, of a colour such as #1b7837."""
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    values = np.array([int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast ratio, from 1 to 21, as WCAG defines it."""
    darker, lighter = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def lightness_and_hue(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIELAB, in which a distance of about 2 is the least that is seen."""
    ratio = TO_XYZ @ np.clip(rgb, 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def declared(css: str, selector: str) -> dict[str, str]:
    """The custom properties of a rule; what JupyterLab may set, by what stands in for it."""
    found = re.search(rf"{re.escape(selector)}\s*{{([^}}]*)}}", css)
    assert found, selector
    pairs = re.findall(r"(--[\w-]+):\s*([^;]+);", found[1])
    return {name: re.sub(r"var\([^,]+,\s*([^)]+)\)", r"\1", value) for name, value in pairs}


BOARD_LIGHT = declared(BOARD, ":root")
BOARD_DARK = {**BOARD_LIGHT, **declared(BOARD[BOARD.index("prefers-color-scheme: dark") :], ":root")}
RACE_LIGHT = declared(RACE, ".wirelab-race")
RACE_DARK = {**RACE_LIGHT, **declared(RACE, '[data-jp-theme-light="false"] .wirelab-race')}


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("ground", [*LIGHT, DARK[0]])
@pytest.mark.parametrize(
    "colour",
    [
        *(colour for _, colour in lesson.FINDINGS.values()),
        *(colour for _, _, colour in (lab._PASSED, lab._WRONG, lab._NOT_RUN, lab._NOT_ATTEMPTED)),
    ],
)
def test_bars_of_verdicts_and_of_lab_reports_stand_out(colour: str, ground: str) -> None:
    assert contrast(colour, ground) >= GRAPHIC


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_stored_outputs_have_such_colours_only(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    html = " ".join(output.get("data", {}).get("text/html", "") for cell in cells for output in cell.outputs)
    for name, colour in re.findall(r"([\w-]*(?:color|border)[\w-]*)\s*:[^;\"]*?(#[0-9a-fA-F]{3,6})\b", html):
        assert contrast(colour, LIGHT[0]) >= (TEXT if name == "color" else GRAPHIC), colour
        assert contrast(colour, DARK[0]) >= GRAPHIC, colour


@pytest.mark.parametrize(
    ("colours", "grounds"), [(RACE_LIGHT, LIGHT), (RACE_DARK, DARK)], ids=["light theme", "dark theme"]
)
def test_the_race_can_be_read(colours: Mapping[str, str], grounds: tuple[str, ...]) -> None:
    for name in ("--race-poll", "--race-push"):
        assert all(contrast(colours[name], ground) >= TEXT for ground in grounds), name


def test_the_race_can_be_read_where_the_theme_sets_the_ink() -> None:
    assert contrast(RACE_LIGHT["--race-ink"], LIGHT[0]) >= TEXT
    assert all(contrast(colour, LIGHT[0]) >= TEXT for colour in JUPYTER_LIGHT.values())
    # 54 % of white over the ground, as the dark theme has it.
    assert contrast("#919191", DARK[0]) >= TEXT


@pytest.mark.parametrize("colours", [BOARD_LIGHT, BOARD_DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["--ink", "--soft", "--accent", "--live", "--lost"])
@pytest.mark.parametrize("ground", ["--paper", "--ground"])
def test_the_board_can_be_read(colours: Mapping[str, str], name: str, ground: str) -> None:
    assert contrast(colours[name], colours[ground]) >= TEXT


@pytest.mark.parametrize("css", [RACE, BOARD], ids=["race", "board"])
def test_who_walks_by_keyboard_sees_where(css: str) -> None:
    # 2.4.7; and no rule takes the outline away.
    assert ":focus-visible" in css
    assert not re.search(r"outline:\s*(none|0)", css)


@pytest.mark.parametrize("people", SEEN_BY)
def test_contenders_of_a_figure_are_told_apart(people: str) -> None:
    seen = [lightness_and_hue(SEEN_BY[people] @ linear(colour)) for colour in plots.PALETTE]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) > 15


@pytest.mark.parametrize("colour", plots.PALETTE)
def test_contenders_of_a_figure_stand_out_from_the_page(colour: str) -> None:
    assert contrast(colour, LIGHT[0]) >= GRAPHIC


def test_no_contenders_differ_by_colour_alone() -> None:
    # 1.4.1: colour is never the only sign.
    signs = [(look["marker"], look["linestyle"]) for look, _ in zip(plots.looks(), range(8), strict=False)]
    assert len(set(signs)) == len(signs)


@pytest.mark.parametrize("path", [*PROSE, *NOTEBOOKS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_prose_has_headings_in_order_and_pictures_in_words(path: Path) -> None:
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.read_text("utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    levels = [len(hashes) for hashes in re.findall(r"^(#+) ", text, flags=re.MULTILINE)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))
    for words in re.findall(r"!\[([^\]]*)\]\(", text):
        assert len(words) > 40
    # 2.4.4: a link says by its own words where it leads.
    assert not re.findall(r"\[(?:here|click here|this|link)\]\(", text, flags=re.IGNORECASE)


def test_the_board_says_its_language_and_names_its_fields() -> None:
    html = (ROOT / "wirelab" / "apps" / "board.html").read_text("utf-8")
    assert '<html lang="en">' in html
    assert "<title>" in html
    outside, card = html.split("<template", 1)
    fields = set(re.findall(r"<(?:input|select)[^>]*\bid=\"([\w-]+)\"", outside))
    assert fields == set(re.findall(r"<label for=\"([\w-]+)\"", outside))
    # Those of a card are named by the script, after the card's own text.
    script = (ROOT / "wirelab" / "apps" / "board.js").read_text("utf-8")
    assert "<select>" in card
    assert re.search(r"ariaLabel|aria-label", script)
