"""What is drawn on a figure that a lesson goes on with is shown too."""

from __future__ import annotations

import pytest

from wirelab import plots
from wirelab.lesson import Prediction
from wirelab.plots import Shown, mark_prediction
from wirelab.reliability_figures import waits_and_notice


def test_waits_are_shown_with_what_is_drawn_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Shown] = []
    monkeypatch.setattr(plots, "display", shown.append)
    guess = Prediction("When?", 1, "s", own=True)
    with waits_and_notice({(0.5, 0.5, 1): 2.1, (0.5, 1, 1): 2.6}) as axis:
        mark_prediction(axis, guess, horizontal=False)
        assert not shown
    (figure,) = shown
    _, labels = axis.get_legend_handles_labels()
    assert set(labels) == {"ping interval", "ping timeout", "close timeout", guess.label, "noticed"}
    assert figure.values.rows == [((0.5, 0.5, 1), 2, 2.1), ((0.5, 1, 1), 2.5, 2.6)]
