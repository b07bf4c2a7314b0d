"""The figure of lesson 07: what hashing passwords does to everybody else."""

from __future__ import annotations

from collections.abc import Mapping

from .lesson import Prediction
from .plots import Values, axes, looks, mark_prediction, show
from .stats import Floats


def waits_of_others(waits: Mapping[str, tuple[Floats, Floats]], hash_takes: float, guess: Prediction) -> None:
    """Show how long each request waited, while others logged in, against when it was due.

    Args:
        waits: for each place where passwords are checked, when requests were due and how long they waited, in
            seconds; see `wirelab.waits.waits_while`.
        hash_takes: seconds that one password's check takes; waits are drawn in this unit.
        guess: the longest wait, in checks of a password.
    """
    figure, axis = axes(width=9, height=3.8)
    for (place, (due, waited)), look in zip(waits.items(), looks(), strict=False):
        axis.plot(due, waited / hash_takes, label=f"checked {place}", **look | {"markersize": 4})
    mark_prediction(axis, guess)
    axis.set(xlabel="when a request for /health was due, s", ylabel="it waited … checks\nof a password")
    axis.set_ylim(bottom=-0.2)
    figure.legend(loc="outside lower center", ncols=3)
    show(
        figure,
        alt="How long requests for something else wait while six people log in. With passwords checked in the "
        "event loop the wait jumps to several checks at once and falls in a straight line; with passwords "
        "checked in threads it stays near zero.",
        caption="Six logins at once, and what everybody else waits meanwhile.",
        values=Values(
            ("checked", "requests", "median wait, checks of a password", "longest"),
            [
                (
                    place,
                    len(waited),
                    float(sorted(waited)[len(waited) // 2] / hash_takes),
                    waited.max() / hash_takes,
                )
                for place, (_, waited) in waits.items()
            ],
        ),
    )
