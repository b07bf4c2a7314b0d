"""The figures of connections that have to hold up: formats, heartbeats, storms, gaps, slow readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .formats import Cost
from .lesson import Prediction
from .plots import Values, axes, logarithmic, looks, mark_prediction, show
from .slow_readers import READS_ON, STOPS, Trial
from .storms import Outage, Storm


def formats_compared(costs: Mapping[str, Cost], guess: Prediction) -> None:
    """Show bytes and time of a message in each format, with a guess in bytes."""
    figure, (left, right) = axes(2, width=11, height=3.4, sharey=True)
    names = list(costs)
    colour = next(looks())["color"]
    for panel, values, label in (
        (left, [cost.bytes for cost in costs.values()], "%.0f B"),
        (right, [1e6 * cost.seconds for cost in costs.values()], "%.2g µs"),
    ):
        panel.bar_label(panel.barh(names, values, height=0.6, color=colour, alpha=0.8), fmt=label, padding=3)
        panel.grid(visible=False)
        panel.margins(x=0.15)
    mark_prediction(left, guess, horizontal=False)
    left.invert_yaxis()
    left.set(xlabel="bytes of a message")
    right.set(xlabel="µs to write it and read it")
    left.legend(loc="lower right")
    show(
        figure,
        alt="Two bars for each format. Bytes: JSON takes most, Protobuf less than half of that, and compressed "
        "JSON even less. Time: orjson is by far the quickest, then comes Protobuf; compressed JSON takes "
        "longest.",
        caption="A price in each format: the fewest bytes and the least time are not in the same place.",
        values=Values(
            ("format", "bytes", "µs"), [(name, cost.bytes, 1e6 * cost.seconds) for name, cost in costs.items()]
        ),
    )


@contextmanager
def waits_and_notice(noticed: Mapping[tuple[float, float, float], float]) -> Iterator[Axes]:
    """Show after how long a frozen host was noticed, on bars of the waits that add up to it.

    What is drawn on the axes within the block is shown too.

    Args:
        noticed: seconds until the server knew, by ping interval, ping timeout and close timeout.
    """
    figure, axis = axes(width=9, height=3.2)
    names = [" + ".join(f"{wait:g}" for wait in waits) for waits in noticed]
    filled = np.zeros(len(noticed))
    hatches = ("", "//", "..")
    parts = ("ping interval", "ping timeout", "close timeout")
    for part, waits, look, hatch in zip(parts, np.array(list(noticed)).T, looks(), hatches, strict=False):
        style: dict[str, Any] = {"color": look["color"], "hatch": hatch, "edgecolor": "white", "alpha": 0.8}
        axis.barh(names, waits, left=filled, height=0.5, label=part, **style)
        filled += waits
    axis.plot(list(noticed.values()), names, "kD", markersize=9, label="noticed")
    axis.set(xlabel="seconds after the freeze")
    axis.grid(visible=False)
    axis.invert_yaxis()
    yield axis
    figure.legend(loc="outside lower center", ncols=5, fontsize=10)
    show(
        figure,
        alt="Four bars, each made of a ping interval, a ping timeout and a close timeout. The mark for the moment "
        "at which the server noticed the freeze lies at the very end of each bar.",
        caption="A frozen host is noticed when all three waits are over.",
        values=Values(
            ("waits, s", "sum, s", "noticed, s"), [(waits, sum(waits), s) for waits, s in noticed.items()]
        ),
    )


def storms(outage: Outage, ways: Mapping[str, Storm], guess: Prediction) -> None:
    """Show how a crowd comes back, and how two of the ways knock meanwhile: "exponential" and "full jitter"."""
    until = 70
    figure, (left, right) = axes(2, width=11)
    seconds = range(until + 1)
    style = {name: look | {"marker": ""} for name, look in zip(ways, looks(), strict=False)}
    for name, storm in ways.items():
        left.plot(seconds, [storm.back_by(moment) for moment in seconds], label=name, **style[name])
    mark_prediction(left, guess, horizontal=False)
    knocks = {name: np.histogram(storm.attempts, list(seconds))[0] for name, storm in ways.items()}
    right.vlines(seconds[:-1], 0, knocks["exponential"], color=style["exponential"]["color"], linewidth=4)
    right.plot([], [], color=style["exponential"]["color"], linewidth=4, label="exponential")
    right.plot(
        seconds[:-1], knocks["full jitter"], label="full jitter", **style["full jitter"] | {"linewidth": 2.5}
    )
    right.axhline(outage.rate, color="black", linewidth=1)
    right.annotate("what the server opens", (until, outage.rate), (0, 4), textcoords="offset points", ha="right")
    for panel in (left, right):
        panel.axvspan(0, outage.down, color="black", alpha=0.08)
        panel.set(xlabel="seconds after the cut")
    left.set(ylabel="clients that are back")
    right.set(ylabel="attempts in a second")
    left.legend(loc="center right", fontsize=9)
    right.legend(fontsize=9)
    show(
        figure,
        alt="Left: clients that are back, against time, with the outage shaded. With no pause or a fixed one "
        "the curve stays flat below a third. Doubled pauses climb in steps, the last one after a minute. Full "
        "jitter climbs steadily and is done after some twenty seconds. Right: attempts in a second. Doubled "
        "pauses make single spikes of up to a thousand; full jitter falls soon to what the server can open.",
        caption="A thousand clients, simulated. Grey: the server is away.",
        values=Values(
            ("pauses", "attempts", "busiest second after the restart", "back after 20 s", "in the end", "last, s"),
            [
                (name, len(s.attempts), s.busiest(outage.down), s.back_by(20), len(s.back), float(s.back.max()))
                for name, s in ways.items()
            ],
        ),
    )


def simulated_and_real(
    outage: Outage, simulated: Mapping[str, Sequence[Storm]], real: Mapping[str, Storm]
) -> None:
    """Show how real clients came back, on the band that several simulations fill."""
    figure, axis = axes(height=4.2)
    moments = np.linspace(0, outage.watched, 200)
    for (name, storms), look in zip(simulated.items(), looks(), strict=False):
        bare = look | {"marker": ""}
        counts = np.array([[storm.back_by(t) for t in moments] for storm in storms])
        # A band of simulations that all agree would be invisible.
        low, high = counts.min(axis=0) - 0.6, counts.max(axis=0) + 0.6
        axis.fill_between(moments, low, high, color=look["color"], alpha=0.25, linewidth=0)
        axis.plot(moments, [real[name].back_by(t) for t in moments], label=name, **bare)
    axis.axvspan(0, outage.down, color="black", alpha=0.08)
    axis.set(xlabel="seconds after the cut", ylabel="clients that are back")
    axis.legend(title="line: real; band: simulated", loc="upper left")
    marks = [outage.watched * share for share in (0.25, 0.5, 0.75, 1)]
    show(
        figure,
        alt="Clients that are back against time, for three kinds of pause: a line for real clients, on a band for "
        "what simulations say. On a quiet machine the lines keep close to their bands. A fixed pause stays flat "
        "below a third, doubled pauses climb in a few steps, and full jitter has nearly everybody back.",
        caption="Forty real clients of a real server, everything five times as fast.",
        values=Values(
            ("pauses", *(f"{kind}, back after {t:.2f} s" for kind in ("simulated", "real") for t in marks)),
            [
                (
                    name,
                    *(float(np.median([storm.back_by(t) for storm in storms])) for t in marks),
                    *(real[name].back_by(t) for t in marks),
                )
                for name, storms in simulated.items()
            ],
        ),
    )


def gaps(seen: Mapping[str, Sequence[tuple[float, int]]]) -> None:
    """Show when each numbered update came; seen are (seconds, number) by the name of the client."""
    figure, panels = axes(2, width=11, height=3.4, sharey=True)
    first = min(seq for updates in seen.values() for _, seq in updates)
    for panel, (name, updates), look in zip(panels, seen.items(), looks(), strict=False):
        moments, numbers = np.array(updates).T
        panel.plot(moments, numbers - first, **look | {"linestyle": "none", "markersize": 4})
        panel.set(title=name, xlabel="seconds")
    panels[0].set(ylabel="number of the update")
    show(
        figure,
        alt="The numbers of the updates against the time at which they came, for two clients that were cut off "
        "for a while. Both are silent meanwhile. The first goes on with a jump to higher numbers; the second gets "
        "what it missed at once, a vertical line, and then goes on.",
        caption="Both came back. Only one knows what happened meanwhile.",
        values=Values(
            ("client", "updates", "missed", "longest silence, s"),
            [
                (
                    name,
                    len(updates),
                    updates[-1][1] - updates[0][1] + 1 - len(updates),
                    float(np.diff([moment for moment, _ in updates]).max()),
                )
                for name, updates in seen.items()
            ],
        ),
    )


def slow_reader(trials: Mapping[str, Trial]) -> None:
    """Show the delay of the healthy clients and the memory of the server, by policy."""
    figure, (left, right) = axes(2, width=11, height=4.2)
    for (name, trial), look in zip(trials.items(), looks(), strict=False):
        bare = look | {"markersize": 5}
        left.plot(trial.due, 1000 * trial.delay, label=name, markevery=(0.1, 0.15), **bare)
        right.plot(trial.moments, np.maximum(trial.waiting, 500) / 1000, markevery=(0.1, 0.15), **bare)
    for panel in (left, right):
        panel.axvspan(STOPS, READS_ON, color="black", alpha=0.08)
        panel.set(xlabel="seconds")
    left.set(ylabel="delay of the healthy clients, ms")
    right.set(ylabel="waiting in the server, kB")
    logarithmic(right, y=(1, 10, 100))
    figure.legend(loc="outside lower center", ncols=6, fontsize=10)
    show(
        figure,
        alt="Left: the delay of the healthy clients. While one reader stands still, the loop and gather make "
        "everybody wait, nearly as long as it does; the others stay near zero. Right: what waits in the server. "
        "Broadcast grows until the reader goes on. Drop oldest stops at its bound; disconnect grows as far, then "
        "falls to the little that the loop and gather hold; conflate stays level between the two.",
        caption="One of five clients does not read in the grey second.",
        values=Values(
            ("policy", "worst delay, ms", "waiting, kB", "the slow one missed", "its close code"),
            [(name, 1000 * t.worst, t.held / 1000, t.missed, t.code or "none") for name, t in trials.items()],
        ),
    )
