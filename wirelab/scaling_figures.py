"""The figures of many connections and many workers: what they cost, where things go, and how many it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from .capacity import Assumptions, Measured, Plan, borders, plan
from .crowds import Footprint, Upkeep, for_each_client
from .draining import Move
from .lesson import Prediction
from .measure import Record
from .plots import Values, axes, logarithmic, looks, mark_prediction, show


def growing_crowds(seen: Mapping[str, Sequence[Footprint]], guess: Prediction) -> None:
    """Show a server's memory and handles against its clients, and a guess in kB for each client."""
    figure, (left, right) = axes(2, width=11)
    for (name, steps), look in zip(seen.items(), looks(), strict=False):
        clients = [step.clients for step in steps]
        left.plot(clients, [(step.memory - steps[0].memory) / 1e6 for step in steps], label=name, **look)
        right.plot(clients, [step.handles for step in steps], label=name, **look)
    most = max(steps[-1].clients for steps in seen.values())
    left.plot([0, most], [0, most * float(guess.value) / 1e3], "k:", linewidth=2, label=guess.label)
    left.set(xlabel="clients that are connected", ylabel="memory more than with one client, MB")
    right.set(xlabel="clients that are connected", ylabel="file handles")
    left.legend(fontsize=9)
    costs = {name: for_each_client(list(steps), "memory") for name, steps in seen.items()}
    show(
        figure,
        alt="Left: a server's memory against the number of idle clients, three straight lines. Compression makes "
        "the steepest, Starlette lies between, plain websockets is the flattest. Right: file handles, one and the "
        "same line for all, one handle for each client.",
        caption="Idle connections: memory depends on the server and its options, handles do not.",
        values=Values(
            ("server", "kB a client", "from", "to", "clients", "handles"),
            [
                (name, *(bound / 1e3 for bound in costs[name]), steps[-1].clients, steps[-1].handles)
                for name, steps in seen.items()
            ],
        ),
    )


def upkeep_compared(kept: Mapping[str, Upkeep]) -> None:
    """Show what a crowd that stays takes of a core."""
    figure, axis = axes(height=2.8)
    shares = [100 * one.core_share for one in kept.values()]
    bars = axis.barh(list(kept), shares, height=0.6, color=next(looks())["color"], alpha=0.8)
    axis.bar_label(bars, fmt="%.0f %%", padding=3)
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.margins(x=0.15)
    axis.set(xlabel="one core of the server, %")
    show(
        figure,
        alt="Three bars of processor load for the same crowd. Idle takes next to nothing, two pings a second "
        "some per cent of a core, twenty messages a second more.",
        caption="The same thousand clients (or as many as the system allows), idle and busy.",
        values=Values(
            ("crowd", "clients", "% of a core", "µs for each ping or message"),
            [
                (name, one.clients, 100 * one.core_share, 1e6 * one.for_each.value if one.events else 0.0)
                for name, one in kept.items()
            ],
        ),
    )


def load_for_an_age(polls: Mapping[float, Record], push: Record) -> None:
    """Show a core's load for a thousand clients against the age that their data may have.

    Args:
        polls: runs of pollers, by their intervals in seconds.
        push: a run of as many WebSockets on the same updates.
    """
    figure, axis = axes(height=4.2)
    ages = np.logspace(-2.3, 1.3, 50)
    poll_look, push_look = (next(all_looks) for all_looks in [looks()] for _ in range(2))
    for_a_poll = np.mean([float(run.server_cpu or 0) / run.requests for run in polls.values()])
    axis.plot(ages, 1000 * 100 * for_a_poll / (2 * ages), **poll_look | {"marker": ""}, label="polling, reckoned")
    measured = {run.ages.mean(): _thousand(run) for run in polls.values()}
    axis.plot(list(measured), list(measured.values()), **poll_look | {"linestyle": ""}, label="polling, measured")
    axis.plot(
        [push.ages.mean(), ages[-1]], [_thousand(push)] * 2, **push_look | {"markevery": [0]}, label="WebSocket"
    )
    axis.axhline(100, color="black", linewidth=1)
    axis.annotate("one core is full", (ages[-1], 100), (0, 4), textcoords="offset points", ha="right")
    axis.set(xlabel="mean age of the data, s", ylabel="one core, %, for 1,000 clients")
    logarithmic(axis, x=(0.01, 0.1, 1, 10), y=(0.1, 1, 10, 100, 1000))
    axis.legend(loc="lower left")
    show(
        figure,
        alt="Processor load for a thousand clients against the mean age of their data, both logarithmic. Polling "
        "falls in a straight line, from far above a full core for fresh data; the measured points lie on it. "
        "WebSocket is a level line far below, which polling meets only on the right, where data may be old.",
        caption="At the same age: the fresher the data has to be, the more pollers lose.",
        values=Values(
            ("way", "mean age, s", "% of a core for 1,000 clients"),
            [
                *((f"poll {every:g} s", run.ages.mean(), _thousand(run)) for every, run in polls.items()),
                ("WebSocket", push.ages.mean(), _thousand(push)),
            ],
        ),
    )


def what_was_read(seen: Mapping[str, Counter[str]], mark: Callable[[Axes], None]) -> None:
    """Show what readers of new todos got, in per cent.

    Args:
        seen: how often readers got "their todo", "404" and "another's todo", by the way in.
        mark: draws a guess on the axes.
    """
    figure, axis = axes(height=3.6)
    kinds = ("their todo", "404", "another's todo")
    places = np.arange(len(seen))
    for number, (kind, look, hatch) in enumerate(zip(kinds, looks(), ("", "//", ".."), strict=False)):
        shares = [100 * counts[kind] / counts.total() for counts in seen.values()]
        axis.bar(
            places + 0.27 * (number - 1),
            shares,
            0.25,
            color=look["color"],
            hatch=hatch,
            edgecolor="white",
            label=kind,
        )
    mark(axis)
    axis.set(ylabel="of all reads, %", xticks=places, xticklabels=list(seen), ylim=(0, 125))
    axis.legend(ncols=2, loc="upper right", fontsize=9)
    show(
        figure,
        alt="Bars for what readers got. By lot, most did not get their todo, but a 404 or somebody else's todo. "
        "Sticky, all who read their own got it. Sticky, those who read a friend's fared no better "
        "than by lot.",
        caption="Three workers, each with a dictionary of its own.",
        values=Values(
            ("way in", *kinds), [(name, *(counts[kind] for kind in kinds)) for name, counts in seen.items()]
        ),
    )


def moves(ways: Mapping[str, Move]) -> None:
    """Show how many clients were away, against time, for each way to move them."""
    figure, axis = axes(height=3.6)
    for (name, one), look in zip(ways.items(), looks(), strict=False):
        moments = np.linspace(0, float(one.back.max()), 300)
        axis.plot(moments, one.away_at(moments), label=name, **look | {"marker": ""})
    axis.set(xlabel="seconds since the restart was announced", ylabel="clients without a connection")
    axis.legend()
    show(
        figure,
        alt="Clients without a connection against time. All at once: a peak of nearly all of them, which takes a "
        "while to go down. One after another: a low line, of a few at a time, until the last has moved.",
        caption="The same clients move from one server to another.",
        values=Values(
            ("way", "most away at once", "last back, s", "longest wait of a bystander, ms"),
            [
                (name, one.most_away, float(one.back.max()), float(1e3 * one.waited.max()))
                for name, one in ways.items()
            ],
        ),
    )


def machines_needed(measured: Measured, assumed: Assumptions, guess: Prediction, clients: Sequence[float]) -> None:
    """Show the machines that clients take, with error bars, and where each kind of engine takes over."""
    figure, axis = axes(height=4.6)
    tens = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8]
    many = np.logspace(3, 8.3, 60)
    line, points = ([plan(count, measured, assumed) for count in counts] for counts in (many, clients))
    look = next(looks())
    axis.fill_between(
        many,
        [each.machines.low for each in line],
        [each.machines.high for each in line],
        color=look["color"],
        alpha=0.25,
        linewidth=0,
        label="error bars",
    )
    axis.plot(many, [each.machines.value for each in line], color=look["color"], label="machines, reckoned")
    axis.plot(clients, [each.machines.value for each in points], "o", color=look["color"])
    mark_prediction(axis, guess)
    starts = borders(measured, assumed)
    for (name, start), height in zip(starts.items(), (0.97, 0.88, 0.79), strict=True):
        axis.axvline(start.value, color="black", linewidth=1, linestyle="--")
        spot = (start.value * 1.08, height)
        label = axis.text(*spot, name, transform=axis.get_xaxis_transform(), fontsize=9, va="top")
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.5})
    axis.set(xlabel="clients", ylabel="machines")
    logarithmic(axis, x=tens, y=(0.001, 0.01, 0.1, 1, 10, 100, 1000, 10000))
    axis.set_xticks(tens, ["1 k", "10 k", "100 k", "1 M", "10 M", "100 M"])
    axis.set_ylim(top=1e5)
    axis.legend(loc="lower right", fontsize=9)
    show(
        figure,
        alt="Machines against clients, both logarithmic: a straight rising band. Ten thousand clients take a "
        "small part of one machine, a million one or a few, a hundred million hundreds. Dashed lines mark from "
        "where on one process, one machine, and one broker are not enough.",
        caption="From this machine's measurements, under the assumptions above; the band is the doubt.",
        values=Values(
            (
                "clients",
                "memory, GB",
                "cores",
                "machines with spare",
                "from",
                "to",
                "brokers",
                "all back after, s",
            ),
            [_row(each, assumed) for each in points]
            + [
                (f"{start.value:,.0f}", name, "", "", f"{start.low:,.0f}", f"{start.high:,.0f}", "", "")
                for name, start in starts.items()
            ],
        ),
    )


def _row(each: Plan, assumed: Assumptions) -> tuple[object, ...]:
    machines = each.rounded(assumed)
    return (
        f"{each.clients:,.0f}",
        each.memory.value / 1e9,
        each.cores.value,
        *(f"{count:,.0f}" for count in machines),
        each.brokers.value,
        each.reopening.value,
    )


def _thousand(run: Record) -> float:
    """Per cent of a core that a thousand such clients would take."""
    return 100 * (run.server_cpu or 0.0) / run.seconds * 1000 / run.clients
