"""Figures that everybody can read: one style, alternative text, and a table of the values."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import cycle
from typing import Any, NamedTuple

import matplotlib.style
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .lesson import Prediction

# Told apart with every common kind of colour blindness, and each with a contrast of 3:1 to white or more (WCAG
# 2.2, 1.4.11): blue, vermilion, grey, indigo, wine, violet, brown, black. No looks() differ by colour alone.
PALETTE = ("#0072b2", "#d55e00", "#898989", "#332288", "#882255", "#785ef0", "#6f4e37", "#1a1a1a")
STYLE: dict[str, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler(color={PALETTE})",
}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("-", "--", "-.", ":")


class Values(NamedTuple):
    """The numbers behind a figure.

    Attributes:
        header: the name of each column, with its unit.
        rows: the cells of each row; numbers are rounded for reading.
    """

    header: Sequence[str]
    rows: Iterable[Sequence[object]]


def axes(columns: int = 1, *, width: float = 8.0, height: float = 4.0, **options: Any) -> tuple[Figure, Any]:
    """Make a figure of `width` × `height` inches with one row of axes in the kit's style.

    Returns:
        The figure, and its axes: one, or an array of `columns`.
    """
    # A Figure of its own, not pyplot's: nothing shows twice, and nothing is left open in the kernel.
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(1, columns, **options)
    for panel in [panels] if columns == 1 else panels:
        panel.grid(axis="y", alpha=0.3)
    return figure, panels


def looks() -> Iterator[dict[str, Any]]:
    """Yield, for one contender after another, a colour with a marker and a line style that differ too."""
    for colour, marker, line in zip(cycle(PALETTE), cycle(_MARKERS), cycle(_LINES), strict=False):
        yield {"color": colour, "marker": marker, "linestyle": line}


def mark_prediction(axis: Axes, guess: Prediction, *, horizontal: bool = True) -> None:
    """Draw a guess across the axes, as a line with its own entry in the legend."""
    draw = axis.axhline if horizontal else axis.axvline
    draw(float(guess.value), color="black", linestyle=(0, (1, 2)), linewidth=2, label=guess.label)


def logarithmic(axis: Any, *, x: Sequence[float] = (), y: Sequence[float] = ()) -> None:
    """Scale an axis for which ticks are given by logarithm, and write the ticks as plain numbers."""
    for name, ticks in (("x", x), ("y", y)):
        if ticks:
            axis.set(**{f"{name}scale": "log"})
            axis.set(**{f"{name}ticks": ticks, f"{name}ticklabels": [f"{tick:g}" for tick in ticks]})
            axis.tick_params(axis=name, which="minor", length=0, labelleft=False, labelbottom=False)


class Shown:
    """A figure as a notebook keeps it: picture, alternative text, caption and table in one piece of HTML."""

    def __init__(self, png: bytes, alt: str, caption: str, values: Values) -> None:
        self.png = png
        self.alt = alt
        self.caption = caption
        self.values = values

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"

    def _repr_html_(self) -> str:
        # Alternative text in a display's metadata is ignored by JupyterLab and nbconvert; an <img> keeps it.
        picture = base64.b64encode(self.png).decode()
        return (
            f'<figure style="margin:0"><img alt="{escape(self.alt)}" style="max-width:100%" '
            f'src="data:image/png;base64,{picture}"><figcaption>{escape(self.caption)}</figcaption></figure>'
            f"{_table(self.caption, self.values)}"
        )


def show(figure: Figure, *, alt: str, caption: str, values: Values) -> None:
    """Display a figure with its alternative text and its values.

    Args:
        figure: what to show.
        alt: what a person who does not see it has to know; the same words in every run.
        caption: one sentence on what to look at; the same words in every run.
        values: the numbers that are drawn.

    Raises:
        ValueError: a text or the table is missing.
    """
    rows = [tuple(row) for row in values.rows]
    if not (alt.strip() and caption.strip() and rows):
        raise ValueError("A figure needs alternative text, a caption and a table of its values.")
    buffer = io.BytesIO()
    with matplotlib.style.context(STYLE):
        figure.savefig(buffer, format="png", dpi=110)
    display(Shown(buffer.getvalue(), alt, caption, Values(values.header, rows)))


def _table(caption: str, values: Values) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in values.header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_text(cell))}</td>" for cell in row) + "</tr>" for row in values.rows
    )
    return (
        '<details class="wirelab-values"><summary>The values as a table</summary>'
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        "</details>"
    )


def _text(cell: object) -> str:
    if not isinstance(cell, float):
        return str(cell)
    # Three digits, but never in powers of ten: 1234.5 is 1234, not 1.23e+03.
    return f"{cell:.0f}" if abs(cell) >= 999.5 else f"{cell:.3g}"
