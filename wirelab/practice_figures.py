"""The figures of REST in practice: status codes, pages, caches, floods and formats."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.colors import ListedColormap

from .lesson import Prediction
from .plots import PALETTE, Values, axes, logarithmic, looks, mark_prediction, show
from .practice import METHODS, Call, Errors, Judgement, Reads, Reply, errors_of

# A judgement's place on the colour map, and the mark that says the same without colour.
_JUDGEMENTS: Mapping[Judgement, tuple[int, str]] = {"against": (0, "✗"), "poorer": (1, "~"), "as asked": (2, "✓")}
_JUDGED = ListedColormap(["#e08a4f", "#e8e4c9", "#a9cbe6"])


def status_matrices(tried: Mapping[str, Sequence[Reply]]) -> None:
    """Show, for each service, its status code by situation and method, coloured by the standard's judgement."""
    figure, panels = axes(len(tried), width=12, height=5.2, sharey=True)
    situations = list(dict.fromkeys(reply.situation for replies in tried.values() for reply in replies))
    for axis, (service, replies) in zip(panels, tried.items(), strict=True):
        field = np.full((len(situations), len(METHODS)), np.nan)
        for reply in replies:
            row, column = situations.index(reply.situation), METHODS.index(reply.method)
            field[row, column], mark = _JUDGEMENTS[reply.judgement]
            axis.text(column, row, f"{reply.status} {mark}", ha="center", va="center", fontsize=10)
        axis.imshow(field, cmap=_JUDGED, vmin=0, vmax=2, aspect="auto")
        axis.set(title=service, xticks=range(len(METHODS)), xticklabels=METHODS)
        axis.set(yticks=range(len(situations)), yticklabels=situations)
        axis.tick_params(length=0)
        axis.grid(visible=False)
    figure.supxlabel("✓ as RFC 9110 asks     ~ allowed, and says less than it could     ✗ against it", fontsize=11)
    show(
        figure,
        alt="Two tables of status codes by situation and method. The article's service has marks against the "
        "standard for HEAD, for stale tags, for methods that a collection does not have and for creating in an "
        "empty collection, and many that say too little. In the grown one nothing is against the standard.",
        caption="Eleven situations, up to six methods each: what came back, and what the standard says to it.",
        values=Values(
            ("service", "situation", "method", "status", "judgement"),
            [(service, r.situation, r.method, r.status, r.judgement) for service in tried for r in tried[service]],
        ),
    )


def pages_while_others_write(
    walks: Mapping[str, Mapping[int, Sequence[Sequence[int]]]], throughout: Sequence[int], guess: Prediction
) -> None:
    """Show which items a reader of pages misses or meets twice, and how many by the writes of others.

    Args:
        walks: the ids on each page, by the way of paging and by how many items others wrote between two pages.
        throughout: ids that were there when each walk began.
        guess: how many one way misses with one write.
    """
    figure, (left, right) = axes(2, width=12, height=4.2)
    for row, by_writes in enumerate(walks.values()):
        seen = [item for page in by_writes[1] for item in page]
        groups = {
            "once": [item for item in throughout if seen.count(item) == 1],
            "twice": [item for item in throughout if seen.count(item) > 1],
            "never": [item for item in throughout if item not in seen],
        }
        shapes = {"once": ("·", "#767676", 20), "twice": ("^", PALETTE[0], 60), "never": ("x", PALETTE[1], 60)}
        for (name, items), (shape, colour, size) in zip(groups.items(), shapes.values(), strict=True):
            marker = "." if shape == "·" else shape
            label = f"read {name}" if row == 0 else None
            left.scatter(items, [row] * len(items), marker=marker, color=colour, s=size, label=label)
    left.set(xlabel="id; read from the right", yticks=range(len(walks)), yticklabels=list(walks))
    left.set(title="one write between two pages", ylim=(len(walks) - 0.5, -0.5))
    left.grid(visible=False)
    found = {
        way: {writes: errors_of(pages, throughout) for writes, pages in by_writes.items()}
        for way, by_writes in walks.items()
    }
    for (way, errors), look in zip(found.items(), looks(), strict=False):
        right.plot(list(errors), [sum(each) for each in errors.values()], label=way, **look)
        reckoned = [writes * (len(pages) - 1) for writes, pages in walks[way].items()]
        if any(sum(each) for each in errors.values()):
            right.plot(list(errors), reckoned, "k:", linewidth=3, alpha=0.4)
    mark_prediction(right, guess)
    right.set(xlabel="writes between two pages", ylabel="todos missed or met twice", xticks=list(errors))
    right.set(title="dotted: writes × pages turned", ylim=(-1, None))
    figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    show(
        figure,
        alt="Left: the todos of four walks. By offset, one todo after each page turned is missed when others "
        "delete, and met twice when others add. By cursor every todo is read once. Right: errors by the number "
        "of writes. Those by offset rise along the closed form, those by cursor stay at zero.",
        caption="Sixty todos, ten on a page, newest first, while others write.",
        values=Values(
            ("way", "writes between two pages", *Errors._fields),
            [(way, writes, *errors) for way, by_writes in found.items() for writes, errors in by_writes.items()],
        ),
    )


def reads_through_a_cache(reads: Mapping[str, Mapping[int, Reads]]) -> None:
    """Show bytes, requests and stale answers of a hundred reads, by policy and by reads for each change."""
    figure, panels = axes(3, width=12, height=3.8)
    named: dict[str, Callable[[Reads], float]] = {
        "bytes for a read": lambda run: run.bytes / run.total,
        "requests for 100 reads": lambda run: 100 * run.requests / run.total,
        "stale, of 100 reads": lambda run: 100 * run.stale / run.total,
    }
    for axis, (name, value) in zip(panels, named.items(), strict=True):
        for (policy, runs), look in zip(reads.items(), looks(), strict=False):
            axis.plot(list(runs), [value(run) for run in runs.values()], label=policy, **look)
        axis.set(xlabel="reads for each change", ylabel=name, ylim=(0, None))
        logarithmic(axis, x=list(runs))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    show(
        figure,
        alt="Three panels over the number of reads for each change. Bytes: without a store they stay level; with "
        "no-cache and with max-age they fall as changes get rare. Requests: only max-age saves them. Stale reads: "
        "only max-age has them, most of its reads where things change each time.",
        caption="What three policies cost, and what they risk, as changes get rare.",
        values=Values(
            ("policy", "reads for each change", *Reads._fields),
            [(policy, every, *run) for policy, runs in reads.items() for every, run in runs.items()],
        ),
    )


def flood_and_neighbour(
    runs: Mapping[str, Mapping[str, Sequence[Call]]], greedy: str, neighbour: str, burst: int, rate: float
) -> None:
    """Show what a limiter lets through of a flood, and what a neighbour waits.

    Args:
        runs: the calls of each caller, without a limit and with it, in this order.
        greedy, neighbour: names of the callers.
        burst: tokens in a bucket.
        rate: tokens a second.
    """
    figure, (left, right) = axes(2, width=12, height=4.2)
    _, limited = runs.values()
    groups = {
        "sent": [call.left for call in limited[greedy]],
        "let through": [call.left for call in limited[greedy] if call.status == 200],
    }
    for (name, moments), look in zip(groups.items(), looks(), strict=False):
        left.step(moments, range(1, len(moments) + 1), where="post", label=name, **look | {"marker": ""})
    last = max(call.left for call in limited[greedy])
    left.plot([0, last], [burst, burst + rate * last], "k:", linewidth=3, alpha=0.5, label="burst + rate × time")
    left.set(xlabel="s", ylabel="requests of the flood so far", title="the flood, with a bucket")
    logarithmic(left, y=(1, 3, 10, 30, 100, 300))
    left.legend()
    for (name, run), look in zip(runs.items(), looks(), strict=False):
        calls = run[neighbour]
        right.plot([c.left for c in calls], [1000 * c.took for c in calls], label=name, **look)
    right.set(xlabel="s", ylabel="the neighbour waits, ms", title="who sends a few requests a second")
    logarithmic(right, y=(10, 30, 100, 300, 1000))
    right.legend(loc="center right")
    show(
        figure,
        alt="Left: the requests of the flood over time. Some hundreds are sent; those let through keep to the "
        "line of burst plus rate times time. Right: the neighbour's wait. Without a limit it is some hundreds of "
        "milliseconds; with one it falls to about ten.",
        caption="A flood over thirty connections against a bucket of ten tokens and ten more a second.",
        values=Values(
            ("run", "caller", "calls", "let through", "median, ms", "p95, ms"),
            [(name, who, *_of_calls(calls)) for name, run in runs.items() for who, calls in run.items()],
        ),
    )


def _of_calls(calls: Sequence[Call]) -> tuple[int, int, float, float]:
    taken = 1000 * np.array([call.took for call in calls])
    median, late = np.percentile(taken, [50, 95])
    return len(calls), sum(call.status == 200 for call in calls), float(median), float(late)


def sizes_of_formats(one: Mapping[str, bytes], hundred: Mapping[str, bytes]) -> None:
    """Show bytes for a todo in each format: one alone, one of a hundred, and one of a hundred compressed."""
    figure, axis = axes(height=3.8, width=9)
    sizes = {name: (len(one[name]), len(many), len(gzip.compress(many))) for name, many in hundred.items()}
    shares = {name: (single, many / 100, packed / 100) for name, (single, many, packed) in sizes.items()}
    labels = ("one todo", "of a hundred", "of a hundred, gzip")
    places = np.arange(len(shares))
    hatches = ("", "//", "..")
    for number, (label, hatch, look) in enumerate(zip(labels, hatches, looks(), strict=False)):
        heights = [share[number] for share in shares.values()]
        style = {"color": look["color"], "hatch": hatch, "edgecolor": "white"}
        bars = axis.bar(places + 0.27 * (number - 1), heights, 0.25, label=label, **style)
        axis.bar_label(bars, fmt="%.0f", fontsize=9)
    axis.set(xticks=places, xticklabels=list(shares), ylabel="bytes for a todo")
    axis.legend()
    show(
        figure,
        alt="Bytes for a todo in XML, JSON, msgpack and Protobuf, three bars each. One alone takes most in XML, "
        "then JSON, msgpack, and least in Protobuf. Of a hundred that are compressed together, a todo takes a few "
        "bytes in every format.",
        caption="The same todo in four formats. Compression takes out most of what tells them apart.",
        values=Values(
            ("format", "one, bytes", "a hundred, bytes", "a hundred, gzip, bytes"),
            [(name, *counts) for name, counts in sizes.items()],
        ),
    )
