"""`predict` and `verdict`: words that no run changes, and a loud failure when the measurement disagrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wirelab import lesson
from wirelab.lesson import Finding, VerdictError, predict, verdict

QUESTION = "How old is a price, on average, when you ask once a second?"
EVIDENCE = {"Polling each second, the average price was half a second old.": True, 'A <b> & a "quote".': np.True_}


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    shown: list[Any] = []
    monkeypatch.setattr(lesson, "display", shown.append)
    return shown


def test_without_a_guess_a_common_one_stands_in(capsys: Any) -> None:
    guess = predict(QUESTION, ..., common=1, unit="s")
    assert (guess.value, guess.unit, guess.question, guess.own) == (1.0, "s", QUESTION, False)
    assert guess.label == "a common guess: 1 s"
    assert capsys.readouterr().out.splitlines() == [
        QUESTION,
        "No guess yet: write yours in place of the three dots. Many people say: 1 s.",
    ]


@pytest.mark.parametrize(("given", "text"), [(0.25, "0.25 s"), (3, "3 s"), (np.float64(0.5), "0.5 s"), (0, "0 s")])
def test_a_guess_of_the_readers_own(given: Any, text: str, capsys: Any) -> None:
    guess = predict(QUESTION, given, common=1.0, unit="s")
    assert guess.value == given
    assert type(guess.value) in (float, np.float64)
    assert guess.own
    assert guess.label == f"your guess: {text}"
    assert capsys.readouterr().out == f"{QUESTION}\nYour guess: {text}.\n"


def test_a_guess_among_options(capsys: Any) -> None:
    guess = predict("Which one waits?", "both", common="server", options=["server", "client", "both"])
    assert (guess.value, str(guess), guess.label) == ("both", "both", "your guess: both")
    assert capsys.readouterr().out.startswith("Which one waits? (server / client / both)\n")


@pytest.mark.parametrize("given", ["half a second", True, None, [1], 1j])
def test_what_is_no_number_is_refused_with_an_example(given: Any) -> None:
    with pytest.raises(ValueError, match=r"Guess a plain number in s, such as 1\.0; got "):
        predict(QUESTION, given, common=1.0, unit="s")


def test_what_is_no_option_is_refused_with_the_options() -> None:
    with pytest.raises(ValueError, match=r"Choose one of 'a', 'b'; got 'c'\."):
        predict(QUESTION, "c", common="a", options=["a", "b"])


@pytest.mark.parametrize(
    ("finding", "words"), [("true", "holds"), ("false", "does not hold"), ("depends", "it depends")]
)
def test_a_verdict_says_the_same_in_text_and_in_html(finding: Finding, words: str, displayed: list[Any]) -> None:
    # Nothing is returned: as a cell's last line it would be shown twice.
    assert verdict("Polling is <late>.", finding, EVIDENCE, limits="On one machine.", claim="late") is None  # type: ignore[func-returns-value]
    (shown,) = displayed
    text, page = repr(shown), shown._repr_html_()
    for line in ("Polling is <late>.", words, *EVIDENCE, "On one machine."):
        assert line in text
    assert "Polling is &lt;late&gt;." in page
    assert "A &lt;b&gt; &amp; a &quot;quote&quot;." in page
    assert f'data-claim="late" data-finding="{finding}"' in page
    assert f"Verdict: {words}." in page


def test_a_verdict_that_the_measurement_contradicts_names_what_was_not_seen(displayed: list[Any]) -> None:
    with pytest.raises(VerdictError, match=r"Not seen in this run: Late\. Wasted\. Run the experiment") as caught:
        verdict("S", "true", {"Late.": np.False_, "Seen.": True, "Wasted.": False}, limits="L")
    assert isinstance(caught.value, AssertionError)
    assert "Seen." not in str(caught.value)
    assert displayed == []


@pytest.mark.parametrize(("finding", "evidence"), [("maybe", EVIDENCE), ("true", {})])
def test_a_verdict_needs_evidence_and_a_finding(finding: Any, evidence: Any) -> None:
    with pytest.raises(ValueError, match="needs evidence and one of"):
        verdict("S", finding, evidence, limits="L")
