"""The figures of lesson 04, drawn from what `wirelab.measure` returns, in words that fit every run of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .costs import Costs
from .lesson import Prediction
from .measure import Poll, PollingAge, Record
from .plots import Values, axes, logarithmic, looks, mark_prediction, show
from .stats import percentile_interval


def age_of_polled_updates(polls: Sequence[PollingAge]) -> None:
    """Show how ages are distributed, and their means, with the closed form drawn over both."""
    figure, (left, right) = axes(2, width=11)
    for poll, look in zip(polls, looks(), strict=False):
        share = np.arange(1, len(poll.ages) + 1) / len(poll.ages)
        label = f"polled every {poll.every:g} s"
        left.plot(np.sort(poll.ages) / poll.every, share, label=label, **look | {"marker": ""})
    left.plot([0, 1], [0, 1], "k:", linewidth=3, alpha=0.5, label="closed form")
    left.set(xlabel="age, in polling intervals", ylabel="share of updates at most this old")
    intervals, means = [poll.every for poll in polls], [poll.mean for poll in polls]
    spread = [[mean.value - mean.low for mean in means], [mean.high - mean.value for mean in means]]
    right.errorbar(intervals, [mean.value for mean in means], spread, fmt="o", capsize=4, label="measured, 95 %")
    right.plot(intervals, [poll.expected for poll in polls], "k:", label="closed form: (T + round trip) / 2")
    right.set(xlabel="polling interval T, s", ylabel="mean age, s")
    left.legend()
    right.legend()
    show(
        figure,
        alt="Left: the distribution of the age of polled updates, in intervals. For each interval it lies "
        "on the diagonal, which is the closed form. Right: the mean age against the interval; each measured point "
        "lies on the straight line of the closed form, at half of the interval.",
        caption="Left: ages are spread evenly from nothing to T. Right: their mean is half of T.",
        values=Values(
            ("T, s", "mean age, s", "from", "to", "closed form, s"),
            [(p.every, *p.mean, p.expected) for p in polls],
        ),
    )


def cost_against_age(runs: Mapping[str, Record]) -> None:
    """Show for each contender the bytes for an update against its median age."""
    figure, axis = axes(height=4.5)
    for (name, run), look in zip(runs.items(), looks(), strict=False):
        median = percentile_interval(1000 * run.ages, 50)
        spread = [[median.value - median.low], [median.high - median.value]]
        shape = look | {"linestyle": "none", "capsize": 3, "markersize": 9}
        axis.errorbar(median.value, run.bytes_per_update, xerr=spread, label=name, **shape)
    axis.set(
        xlabel="age of an update when the client has it, median, ms", ylabel="bytes on the wire for an update"
    )
    logarithmic(axis, x=(1, 3, 10, 30, 100, 300), y=(50, 100, 200, 400, 800))
    axis.legend(ncols=2)
    show(
        figure,
        alt="Bytes for each update against its median age, both on logarithmic scales. Polling every 0.1 s costs "
        "most. Slower polling gets cheaper and older. Long polling is young and dear. Server-sent events and "
        "WebSocket are both young and cheap, in the lower left corner.",
        caption="Cost against age: the best place is the lower left. Bars: 95 % intervals of the median.",
        values=Values(
            (
                *("contender", "median age, ms", "p95, ms", "bytes an update"),
                *("requests after the start", "of these empty", "missed"),
            ),
            [(name, *_milliseconds(run), run.bytes_per_update, *_counts(run)) for name, run in runs.items()],
        ),
    )


def cost_by_rate(runs: Mapping[int, Mapping[str, Record]], contenders: Mapping[str, object]) -> None:
    """Show bytes for an update, and the share of empty polls, against the rate of updates."""
    figure, (left, right) = axes(2, width=11)
    for name, look in zip(contenders, looks(), strict=False):
        left.plot(list(runs), [run[name].bytes_per_update for run in runs.values()], label=name, **look)
    left.set(xlabel="updates a second", ylabel="bytes on the wire for an update")
    logarithmic(left, x=tuple(runs), y=(50, 100, 200, 500, 1000, 2000))
    pollers = {name: way for name, way in contenders.items() if isinstance(way, Poll)}
    rates = np.linspace(1, 22, 200)
    for (name, poller), look in zip(pollers.items(), looks(), strict=False):
        seen = [run[name] for run in runs.values()]
        shares = [run.empty_share for run in seen]
        right.plot([run.rate for run in seen], shares, label=name, **look | {"linestyle": "none"})
        right.plot(rates, np.exp(-rates * poller.every), "k:", alpha=0.5)
    right.set(xlabel="updates a second, as they happened", ylabel="share of polls that came back empty")
    left.legend()
    right.legend(title="dotted: closed form")
    show(
        figure,
        alt="Left: bytes for an update against the rate of updates. Polling gets cheaper as the rate rises, and "
        "slow polling comes down to push, which stays level. Right: the share of empty polls falls with the rate, "
        "near the closed form.",
        caption="The busier the feed, the better polling looks. Push costs the same for an update at any rate.",
        values=Values(
            (
                *("contender", "updates a second", "as they happened", "bytes an update"),
                *("share of empty polls", "closed form"),
            ),
            [
                (name, rate, run.rate, run.bytes_per_update, *_empty_shares(run, way))
                for name, way in contenders.items()
                for rate, run in ((rate, seen[name]) for rate, seen in runs.items())
            ],
        ),
    )


def cost_of_a_crowd(load: Mapping[str, Sequence[Record]]) -> None:
    """Show the server's processor load, and how old updates get, against the number of clients."""
    figure, (left, right) = axes(2, width=11)
    for (name, runs), look in zip(load.items(), looks(), strict=False):
        clients = [run.clients for run in runs]
        left.plot(clients, [_core_share(run) for run in runs], label=name, **look)
        right.plot(clients, [_milliseconds(run)[1] for run in runs], label=name, **look)
    left.set(xlabel="clients", ylabel="one core of the server, %")
    right.set(xlabel="clients", ylabel="age of an update, 95th percentile, ms")
    logarithmic(right, y=(1, 3, 10, 30, 100, 300))
    left.legend()
    show(
        figure,
        alt="Left: the server's processor load against the number of clients. It rises for all; polling and long "
        "polling cost most, server-sent events and WebSocket far less. Right: the 95th percentile of age. Polling "
        "stays near its interval, far above the others.",
        caption="What a crowd costs the server, and how old updates get for the unluckiest twentieth.",
        values=Values(
            ("contender", "clients", "% of a core", "median age, ms", "p95, ms"),
            [
                (name, run.clients, _core_share(run), *_milliseconds(run))
                for name, runs in load.items()
                for run in runs
            ],
        ),
    )


def age_over_networks(runs: Mapping[str, Mapping[str, Record]], guess: Prediction) -> None:
    """Show the mean age by contender on each network, with a guess in milliseconds."""

    def mean(run: Record) -> float:
        return float(1000 * run.ages.mean())

    figure, axis = axes(height=4.2)
    names = list(next(iter(runs.values())))
    for name, look in zip(names, looks(), strict=False):
        ages = [mean(run[name]) for run in runs.values()]
        axis.plot(list(runs), ages, label=name, **look)
    mark_prediction(axis, guess)
    axis.set(xlabel="network", ylabel="mean age of an update, ms")
    logarithmic(axis, y=(0.3, 1, 3, 10, 30, 100, 300))
    axis.legend(loc="lower right")
    show(
        figure,
        alt="The mean age of updates on four networks, on a logarithmic scale. Polling lies highest, at about "
        "half of its interval next door, and rises little. Push is far below it there, and comes nearer with the "
        "distance. Long polling lies above push where the way is long.",
        caption="The further the server, the less the way of asking matters.",
        values=Values(
            ("network", *(f"{name}, ms" for name in names)),
            [(network, *(mean(run[name]) for name in names)) for network, run in runs.items()],
        ),
    )


def saved_by_conditions(
    sizes: Sequence[int], whole: Sequence[tuple[int, float]], none: Sequence[tuple[int, float]]
) -> None:
    """Show bytes and time of an answer against the size of its body, as a whole and as a 304.

    Args:
        sizes: bytes of each body.
        whole: bytes received and seconds taken, for each, when the body was sent.
        none: the same when the client had it already.
    """
    figure, (left, right) = axes(2, width=11)
    for (name, answers), look in zip({"200, with its body": whole, "304": none}.items(), looks(), strict=False):
        left.plot(sizes, [count for count, _ in answers], label=name, **look)
        right.plot(sizes, [1000 * seconds for _, seconds in answers], label=name, **look)
    left.set(xlabel="size of the body, bytes", ylabel="bytes received")
    right.set(xlabel="size of the body, bytes", ylabel="time, ms", ylim=(0, None))
    logarithmic(left, x=sizes, y=(100, 1_000, 10_000, 100_000))
    logarithmic(right, x=sizes)
    left.legend()
    right.legend()
    show(
        figure,
        alt="Left: bytes received against the size of the body. With its body an answer grows with it, a 304 "
        "stays at about a hundred bytes. Right: time against the size. Up to some ten kilobytes both take a round "
        "trip; beyond, the body takes several.",
        caption="What a 304 saves is the body. It never saves the round trip.",
        values=Values(
            ("body, bytes", "200, bytes", "200, ms", "304, bytes", "304, ms"),
            [(size, w[0], 1000 * w[1], n[0], 1000 * n[1]) for size, w, n in zip(sizes, whole, none, strict=True)],
        ),
    )


def which_one_wins(costs: Costs, example: tuple[float, float]) -> None:
    """Draw the map of the cheapest way by rate of change and tolerable mean age.

    Args:
        costs: what each way costs.
        example: a rate and a mean age, marked on the map.
    """
    figure, axis = axes(height=4.6)
    rates, ages = np.logspace(-3, 2, 120), np.logspace(-1.3, 3, 120)
    winners = [[costs.cheapest(rate, age) for rate in rates] for age in ages]
    names = [name for name in ("polling", "long polling", *costs.pushed) if any(name in row for row in winners)]
    for name, look in zip(names, looks(), strict=False):
        here = np.array([[float(winner == name) for winner in row] for row in winners])
        axis.contourf(rates, ages, here, levels=[0.5, 1.5], colors=[look["color"]], alpha=0.35)
        row, column = np.argwhere(here > 0.5).mean(axis=0).round().astype(int)
        axis.text(rates[column], ages[row], name, ha="center", weight="bold")
    axis.plot(*example, "k*", markersize=14)
    axis.annotate("the dashboard", example, xytext=(10, 6), textcoords="offset points")
    axis.set(xlabel="updates a second", ylabel="tolerable mean age, s")
    axis.grid(False)
    logarithmic(axis, x=(0.001, 0.01, 0.1, 1, 10, 100), y=(0.1, 1, 10, 100, 1000))
    spots = [(rate, age) for rate in (0.01, 1, 100) for age in (0.1, 10, 1000)]
    show(
        figure,
        alt="A map of the cheapest way over updates a second and tolerable mean age. Push has the lower left: "
        "rare updates that have to be fresh. Polling has the upper right, where an answer carries many updates, "
        "and the top, where hardly anybody asks. The border falls from the upper left to the lower right.",
        caption="Who costs the fewest bytes. SSE, a little above WebSocket everywhere, comes nowhere first.",
        values=Values(
            (
                *("updates a second", "tolerable mean age, s"),
                *(f"{name}, B/s" for name in costs.bytes_a_second(1, 1)),
            ),
            [(*spot, *costs.bytes_a_second(*spot).values()) for spot in spots],
        ),
    )


def _milliseconds(run: Record) -> tuple[float, float]:
    return float(1000 * np.median(run.ages)), float(1000 * np.percentile(run.ages, 95))


def _counts(run: Record) -> tuple[int, int, int]:
    return run.requests, run.empty, run.missed


def _empty_shares(run: Record, contender: object) -> tuple[object, object]:
    """Return the share of a poller's requests that brought nothing, and its closed form; dashes for others."""
    if isinstance(contender, Poll):
        return run.empty_share, float(np.exp(-run.rate * contender.every))
    return "–", "–"


def _core_share(run: Record) -> float:
    return 100 * (run.server_cpu or 0.0) / run.seconds
