"""The figures of latency: where the time of a request goes, what distance adds, and what a benchmark hides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from .distance import slope
from .lesson import Prediction
from .link import PROFILES
from .phases import Parts
from .plots import Values, axes, logarithmic, looks, show
from .stats import Floats

_PART_NAMES = {
    "look_up": "name look-up",
    "connect": "TCP connect",
    "tls": "TLS",
    "request": "request",
    "way": "way and web server",
    "server": "application",
    "response": "response",
}
_HATCHES = ("", "//", "..", "\\\\", "xx", "", "--")
# What percentiles a tail is drawn at.
_PERCENTS = np.concatenate([np.arange(0.0, 99.0, 0.5), np.arange(99.0, 100.01, 0.1)])


class Reading(NamedTuple):
    """What one experiment said, read wrongly and rightly; both in seconds."""

    wrong: float
    right: float


def parts_of_requests(requests: Mapping[str, Parts]) -> None:
    """Show where the time of each request went, as one bar of stacked parts."""
    figure, axis = axes(height=3.4, width=9)
    names = list(requests)
    filled = np.zeros(len(names))
    for part, look, hatch in zip(_PART_NAMES, looks(), _HATCHES, strict=False):
        taken = np.array([1000 * getattr(request, part) for request in requests.values()])
        style = {"color": look["color"], "hatch": hatch, "edgecolor": "white", "linewidth": 0.5}
        axis.barh(names, taken, left=filled, label=_PART_NAMES[part], height=0.6, **style)
        filled += taken
    _lie_down(axis)
    axis.set(xlabel="ms")
    figure.legend(loc="outside lower center", ncols=4, fontsize=10)
    show(
        figure,
        alt="Three stacked bars. The first request over TLS is the longest, and the handshake of TLS is a large "
        "part of it. Without TLS it is shorter. The second request on a connection has no look-up, no connect and "
        "no TLS; most of it is the application.",
        caption="One request, taken apart: medians of 15, on this machine, where distance costs nothing.",
        values=Values(
            ("request", *(f"{name}, ms" for name in _PART_NAMES.values())),
            [(name, *(1000 * part for part in request)) for name, request in requests.items()],
        ),
    )


def distributions(times: Mapping[str, Floats], guess: Prediction, beside: str) -> None:
    """Show the distribution of round trips for several clients, a panel for each protocol.

    Args:
        times: seconds of each round trip, by ``"protocol: client"``.
        guess: how many times as long another client takes.
        beside: the client whose median times the guess is drawn, in its panel.
    """
    panels: dict[str, dict[str, Floats]] = {}
    for name, sample in times.items():
        protocol, _, client = name.partition(": ")
        panels.setdefault(protocol, {})[client] = 1000 * sample
    figure, drawn = axes(len(panels), width=11, height=3.8, sharex=True, sharey=True)
    for axis, (protocol, clients) in zip(drawn, panels.items(), strict=True):
        for (name, sample), look in zip(clients.items(), looks(), strict=False):
            share = np.arange(1, len(sample) + 1) / len(sample)
            axis.plot(np.sort(sample), share, label=name, linewidth=2, **look | {"marker": ""})
            axis.plot(np.median(sample), 0.5, color=look["color"], marker=look["marker"], markersize=8)
        axis.set(title=protocol, xlabel="a round trip takes at most … ms")
    [place] = [place for place, protocol in enumerate(panels) if beside.startswith(protocol)]
    guessed = 1000 * float(guess.value) * float(np.median(times[beside]))
    drawn[place].axvline(guessed, color="black", linestyle=(0, (1, 2)), linewidth=2, label=guess.label)
    drawn[0].set(ylabel="share of the round trips")
    for axis in drawn:
        logarithmic(axis, x=(0.1, 0.2, 0.5, 1, 2, 5))
        axis.set(xlim=(0.05, 5))
        axis.legend(loc="lower right", fontsize=9)
    show(
        figure,
        alt="The distribution of round trips, HTTP on the left, WebSocket on the right, three clients each. In "
        "both panels the bare socket is fastest and the most comfortable library slowest. The step from the bare "
        "socket to requests is larger than that from protocol to protocol.",
        caption="The same server, the same question, six clients. Marks: medians.",
        values=Values(
            ("protocol", "client", "median, ms", "5th percentile, ms", "95th percentile, ms"),
            [
                (protocol, name, *(float(np.percentile(sample, percent)) for percent in (50, 5, 95)))
                for protocol, clients in panels.items()
                for name, sample in clients.items()
            ],
        ),
    )


def slopes(taken: Mapping[float, Mapping[str, Floats]]) -> dict[str, float]:
    """Count the round trips of each exchange.

    Args:
        taken: seconds of each exchange, by name, by the seconds of a round trip.

    Returns:
        For each exchange the slope of its shortest times over the round trip's time.
    """
    return {name: slope(list(taken), shortest)[0] for name, shortest in _shortest(taken).items()}


def time_by_distance(taken: Mapping[float, Mapping[str, Floats]], guess: Prediction, about: str) -> None:
    """Show what exchanges take at several distances, and how many round trips that makes.

    Args:
        taken: seconds of each exchange, by name, by the seconds of a round trip.
        guess: how many round trips one of them takes.
        about: which.
    """
    figure, (left, right) = axes(2, width=12, height=4.2)
    counts, shortest = slopes(taken), _shortest(taken)
    styles = dict(zip(counts, looks(), strict=False))
    for name, look in styles.items():
        # Some lie on each other: the earlier one has to show from below.
        size = 6 + 1.2 * (len(styles) - list(styles).index(name))
        left.plot(1000 * np.array(list(taken)), 1000 * shortest[name], label=name, **look | {"markersize": size})
    left.set(xlabel="round trip of the network, ms", ylabel="the exchange takes at least … ms", ylim=(0, None))
    left.legend(fontsize=9, markerscale=0.8)
    places = range(len(counts))
    right.barh(places, list(counts.values()), color=[look["color"] for look in styles.values()], height=0.55)
    for place, count in zip(places, counts.values(), strict=True):
        right.text(count + 0.05, place, f"{count:.2f}", va="center")
    right.plot(
        float(guess.value),
        list(counts).index(about),
        color="black",
        marker="|",
        markersize=26,
        markeredgewidth=3,
        linestyle="none",
        label=guess.label,
    )
    right.set(xlabel="slope: round trips that it waits for", xlim=(0, 5), xticks=range(6))
    right.set_yticks(places, list(counts))
    _lie_down(right)
    right.legend(loc="upper right", fontsize=9, markerscale=0.4)
    show(
        figure,
        alt="Left: the time of six exchanges against the network's round trip, each a straight line. Right: their "
        "slopes. Keep-alive and WebSocket echo 1, a new connection 2, a new one with TLS 3, opening a "
        "WebSocket and its first echo 3, with TLS 4.",
        caption="The slope counts the round trips. Whoever knows the count knows the time, at any distance.",
        values=Values(
            ("exchange", *(f"{1000 * distance:g} ms away, ms" for distance in taken), "round trips"),
            [(name, *(1000 * shortest[name]), count) for name, count in counts.items()],
        ),
    )


def messages_on_profiles(taken: Mapping[str, Mapping[str, float]], sent: Mapping[str, int]) -> None:
    """Show what a message takes each way on every profile of a link.

    Args:
        taken: seconds for all messages, by way, by profile.
        sent: how many messages that were, by way.
    """
    figure, axis = axes(width=9, height=4.4)
    profiles = {name: f"{name}\n{1000 * PROFILES[name].round_trip:.3g} ms" for name in taken}
    each = {way: [1000 * taken[profile][way] / count for profile in taken] for way, count in sent.items()}
    for (way, times), look in zip(each.items(), looks(), strict=False):
        axis.plot(list(profiles.values()), times, label=way, **look)
    axis.set(xlabel="profile, and its round trip", ylabel="a message takes, on average, ms")
    logarithmic(axis, y=(0.1, 1, 10, 100, 1000))
    axis.legend(fontsize=9)
    show(
        figure,
        alt="Milliseconds for a message, from loopback to satellite, for six ways. New connections are dearest "
        "wherever there is a distance. From the city on, a Session and a WebSocket in turn are one line; ten "
        "Sessions lie far below it, and pipelining lowest.",
        caption="On every profile: the time for all messages, divided by their number.",
        values=Values(
            ("way", "messages", *(f"{profile}, ms" for profile in profiles)),
            [(way, sent[way], *times) for way, times in each.items()],
        ),
    )


def tails(readings: Mapping[str, Floats]) -> None:
    """Show the same requests by several readings, as the time that each share of them stayed below."""
    figure, axis = axes(height=3.6)
    for (name, times), look in zip(readings.items(), looks(), strict=False):
        axis.plot(
            _PERCENTS, np.percentile(1000 * times, _PERCENTS), label=name, linewidth=2, **look | {"marker": ""}
        )
    axis.set(xlabel="per cent of the requests", ylabel="took at most … ms", xlim=(0, 100.5))
    axis.legend(loc="upper left")
    show(
        figure,
        alt="The times of the same hundred requests by two readings. Counted from when each left, all but the "
        "very last are near zero. Counted from when each was due, some four in ten are late, in a straight climb "
        "to about 0.4 s.",
        caption="One freeze of 0.4 s, one set of requests, two readings.",
        values=Values(
            ("reading", "median, ms", "75 %, ms", "95 %, ms", "longest, ms"),
            [
                (name, *(1000 * float(np.percentile(times, p)) for p in (50, 75, 95, 100)))
                for name, times in readings.items()
            ],
        ),
    )


def wrong_and_right(readings: Mapping[str, Reading]) -> None:
    """Show for several benchmarks what they say when made wrongly, beside the right figure."""
    figure, axis = axes(width=9, height=3.8)
    names = list(readings)
    places = range(len(names))
    wrong, right = ([1000 * reading[side] for reading in readings.values()] for side in (0, 1))
    axis.hlines(places, wrong, right, color="0.7", linewidth=3, zorder=1)
    for values, label, look in zip(
        (wrong, right), ("measured wrongly", "measured rightly"), looks(), strict=False
    ):
        axis.plot(values, places, label=label, markersize=9, **look | {"linestyle": "none"})
    axis.set_yticks(places, names)
    _lie_down(axis)
    axis.set(xlabel="ms")
    logarithmic(axis, x=(0.1, 1, 10, 100, 1000))
    axis.legend(loc="lower right")
    show(
        figure,
        alt="Six experiments, each with two marks on a logarithmic scale: the figure measured wrongly and the "
        "right one. They lie from about twice to a thousand times and more apart. Five wrong ones are too long, "
        "and that of the closed loop is far too short.",
        caption="Six benchmarks, one machine: what each says, and what is so.",
        values=Values(
            ("benchmark", "wrong, ms", "right, ms"),
            [(name, 1000 * reading.wrong, 1000 * reading.right) for name, reading in readings.items()],
        ),
    )


def _shortest(taken: Mapping[float, Mapping[str, Floats]]) -> dict[str, Floats]:
    """Return the shortest time of each exchange at each distance: what others took more, the machine took."""
    names = next(iter(taken.values()))
    return {name: np.array([float(times[name].min()) for times in taken.values()]) for name in names}


def _lie_down(axis: Axes) -> None:
    """Let bars lie: the first at the top, the grid upright and behind them."""
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
