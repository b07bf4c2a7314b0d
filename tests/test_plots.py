"""Figures: told apart without colour, with alternative text and a table, and without pyplot's leftovers."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from itertools import islice
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex

from wirelab import plots
from wirelab.lesson import Prediction
from wirelab.plots import Shown, Values, axes, looks, mark_prediction, show

VALUES = Values(["age (s)", "<share>"], [(0.51234, 3), (1234.5, "all & more")])


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[Shown]:
    shown: list[Shown] = []
    monkeypatch.setattr(plots, "display", shown.append)
    return shown


def test_a_figure_keeps_alt_text_caption_and_values(displayed: list[Shown]) -> None:
    figure, axis = axes()
    axis.plot([1, 2], [1, 2])
    show(figure, alt='Two lines "cross".', caption="Look at <x>.", values=VALUES)
    (shown,) = displayed
    page = shown._repr_html_()
    assert repr(shown) == 'Figure: Two lines "cross".'
    assert '<img alt="Two lines &quot;cross&quot;."' in page
    assert page.count("Look at &lt;x&gt;.") == 2
    cells = re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", page)
    assert cells == ["age (s)", "&lt;share&gt;", "0.512", "3", "1234", "all &amp; more"]
    picture = re.search(r"base64,([^\"]+)", page)
    assert picture
    assert base64.b64decode(picture[1]).startswith(b"\x89PNG")


@pytest.mark.parametrize("missing", [{"alt": " "}, {"caption": ""}, {"values": Values(["x"], [])}])
def test_a_figure_without_alt_text_caption_or_values_is_refused(missing: Any, displayed: list[Shown]) -> None:
    figure, _ = axes()
    with pytest.raises(ValueError, match="needs alternative text, a caption and a table"):
        show(figure, **{"alt": "A", "caption": "C", "values": VALUES, **missing})
    assert displayed == []


def test_rows_may_come_from_a_generator(displayed: list[Shown]) -> None:
    figure, _ = axes()
    show(figure, alt="A", caption="C", values=Values(["n"], ((n,) for n in range(3))))
    assert displayed[0]._repr_html_() == displayed[0]._repr_html_()
    assert displayed[0]._repr_html_().count("<td>") == 3


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (0.0004321, "0.000432"),
        (12.345, "12.3"),
        (999.9, "1000"),
        (1500.0, "1500"),
        (-2.5e6, "-2500000"),
        (7, "7"),
    ],
)
def test_numbers_are_rounded_for_reading(cell: Any, text: str) -> None:
    assert plots._text(cell) == text
    assert plots._text(np.float64(cell) if isinstance(cell, float) else cell) == plots._text(cell)


def test_contenders_differ_in_more_than_colour() -> None:
    eight = list(islice(looks(), 8))
    for key in ("color", "marker"):
        assert len({look[key] for look in eight}) == 8
    assert len({look["linestyle"] for look in eight[:4]}) == 4
    # A loop over more contenders than there are colours still ends.
    assert len(list(islice(looks(), 50))) == 50


def test_a_contender_has_one_colour_in_whatever_it_is_drawn() -> None:
    _, axis = axes()
    look = next(looks())
    (line,) = axis.plot([1, 2], [1, 2], **look)
    bars = axis.bar([1], [1], color=look["color"])
    with mpl.style.context(plots.STYLE):
        assert to_hex(line.get_color()) == to_hex(bars[0].get_facecolor())


def test_axes_in_a_row() -> None:
    figure, panels = axes(3, width=9, height=2, sharey=True)
    assert len(panels) == 3
    assert tuple(figure.get_size_inches()) == (9, 2)


@pytest.mark.parametrize("horizontal", [True, False])
def test_a_prediction_has_its_own_entry_in_the_legend(horizontal: bool) -> None:
    _, axis = axes()
    mark_prediction(axis, Prediction("?", 0.5, "s", own=True), horizontal=horizontal)
    (line,) = axis.lines
    assert line.get_label() == "your guess: 0.5 s"
    assert set(line.get_ydata() if horizontal else line.get_xdata()) == {0.5}


def test_nothing_is_drawn_twice_or_left_open() -> None:
    program = (
        "import sys; from wirelab.plots import axes, show, Values; figure, axis = axes(); axis.plot([1]);"
        "show(figure, alt='A', caption='C', values=Values(['n'], [(1,)]));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
