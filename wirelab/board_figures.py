"""The figures of a shared board: when somebody is noticed to be gone, and what a live page costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .board_trials import Kept
from .lesson import Prediction
from .plots import Values, axes, logarithmic, looks, mark_prediction, show


def noticed_after(seconds: Mapping[str, Mapping[str, float]], guess: Prediction) -> None:
    """Show how long it took until somebody who left was off the list.

    Args:
        seconds: for each way to be on the list, by how she left.
        guess: for the last of these, in seconds.
    """
    figure, axis = axes(height=4.0)
    names = list(next(iter(seconds.values())))
    places = np.arange(len(names))
    width = 0.8 / len(seconds)
    for number, ((way, by_leaving), look) in enumerate(zip(seconds.items(), looks(), strict=False)):
        hatch = ("", "//")[number % 2]
        bars = axis.barh(
            places + number * width,
            list(by_leaving.values()),
            width,
            label=way,
            color=look["color"],
            hatch=hatch,
            edgecolor="white",
        )
        axis.bar_label(bars, fmt=" %.2g s")
    mark_prediction(axis, guess, horizontal=False)
    axis.set_yticks(places + width * (len(seconds) - 1) / 2, names)
    axis.set(xlabel="seconds until the others see that she is gone", xlim=(None, 1.45 * axis.get_xlim()[1]))
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.legend(loc="upper right")
    show(
        figure,
        alt="How long until somebody is noticed to be gone. Who says goodbye is gone at once either way. When her "
        "program ends, the socket tells it at once, and over REST her lease has to run out. When her network "
        "vanishes, both take about as long as their time-outs.",
        caption="A socket that is closed says so. One that is cut says nothing, like a client that does not ask.",
        values=Values(
            ("how she left", *(f"{way}, s" for way in seconds)),
            [(name, *(by_leaving[name] for by_leaving in seconds.values())) for name in names],
        ),
    )


def cost_of_a_live_page(pages: Mapping[str, Kept], quiet_from: float) -> None:
    """Show the bytes that keeping a page live took over time, and how old it was.

    Args:
        pages: by the way in which each was kept live.
        quiet_from: second of the experiment after which nothing changed.
    """
    figure, (left, right) = axes(2, width=11, height=4.2)
    for (name, page), look in zip(pages.items(), looks(), strict=False):
        at, count = np.array(page.traffic).T
        style = look | {"marker": ""}
        left.step(at, count / 1000, where="post", label=name, linewidth=2, **style)
        bar = right.bar(name, 1000 * page.ages.mean(), color=look["color"], width=0.6)
        right.bar_label(bar, fmt="%.0f")
    left.axvline(quiet_from, color="black", linewidth=0.8)
    left.annotate(
        "nothing changes",
        (quiet_from, 0.99),
        xycoords=("data", "axes fraction"),
        xytext=(6, 0),
        textcoords="offset points",
        va="top",
    )
    left.set(xlabel="seconds", ylabel="kB so far, in both directions", xlim=(-0.1, None))
    right.set(ylabel="mean age of a change on the page, ms")
    logarithmic(right, y=(3, 10, 30, 100, 300, 1000))
    left.legend(loc="center left", bbox_to_anchor=(0.0, 0.62))
    show(
        figure,
        alt="Left: bytes so far against time. Polling climbs in equal steps, whether anything changes or not, the "
        "more often the steeper. Events and WebSocket begin with one snapshot, climb a little with the changes, "
        "and stay level when nothing changes. Right: mean age. Polling is oldest; the two ways of push are young "
        "and alike.",
        caption="One page, kept live in several ways at once. Left: what it cost. Right: how old changes were.",
        values=Values(
            ("way", "bytes", "mean age, ms", "oldest, ms"),
            [(name, page.bytes, 1000 * page.ages.mean(), 1000 * page.ages.max()) for name, page in pages.items()],
        ),
    )
