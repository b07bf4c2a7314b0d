"""What a lesson asks of its reader, `predict`, and what it concludes, `verdict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import EllipsisType
from typing import Literal

from IPython.display import display

Finding = Literal["true", "false", "depends"]
# The class of the tag in which a notebook keeps a verdict.
VERDICT_CLASS = "wirelab-verdict"
# How each finding is put into words, and its colour.
FINDINGS: dict[Finding, tuple[str, str]] = {
    "true": ("holds", "#1b7837"),
    "false": ("does not hold", "#b35806"),
    "depends": ("it depends", "#4a7fb5"),
}


@dataclass(frozen=True)
class Prediction:
    """A guess made before the experiment, to be drawn beside the measurement.

    Attributes:
        question: what was asked.
        value: the guess: a number in `unit`, or one of the options.
        unit: such as "s" or "B"; empty for a plain number or a choice.
        own: whether the reader made it; otherwise it is a guess that many people make.
    """

    question: str
    value: float | str
    unit: str
    own: bool

    @property
    def label(self) -> str:
        """The guess as a plot's legend says it."""
        return f"{'your' if self.own else 'a common'} guess: {self}"

    def __str__(self) -> str:
        return self.value if isinstance(self.value, str) else f"{self.value:g} {self.unit}".rstrip()


def predict(
    question: str,
    guess: float | str | EllipsisType,
    *,
    common: float | str,
    unit: str = "",
    options: Sequence[str] = (),
) -> Prediction:
    """Commit the reader to a guess before an experiment.

    Args:
        question: one sentence with a question mark.
        guess: the reader's guess, or ``...`` as long as there is none.
        common: what many people guess; stands in while there is no other.
        unit: unit of a number.
        options: what there is to choose from, if the answer is no number.

    Raises:
        ValueError: the guess is no number, or none of the options.
    """
    own = not isinstance(guess, EllipsisType)
    value = common if isinstance(guess, EllipsisType) else guess
    if options and value not in options:
        raise ValueError(f"Choose one of {', '.join(map(repr, options))}; got {value!r}.")
    if not options and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"Guess a plain number{f' in {unit}' if unit else ''}, such as {common}; got {value!r}.")
    prediction = Prediction(question, value if isinstance(value, str) else float(value), unit, own)
    choice = f" ({' / '.join(options)})" if options else ""
    print(f"{question}{choice}")
    if own:
        print(f"Your guess: {prediction}.")
    else:
        print(f"No guess yet: write yours in place of the three dots. Many people say: {prediction}.")
    return prediction


class VerdictError(AssertionError):
    """The measurement disagrees with the verdict that a lesson wants to print."""


@dataclass(frozen=True)
class Verdict:
    """A statement put to the test; displays itself in the notebook in words that no run changes."""

    statement: str
    finding: Finding
    evidence: tuple[str, ...]
    limits: str
    claim: str

    def __repr__(self) -> str:
        lines = [f"Statement: {self.statement}", f"Verdict:   {FINDINGS[self.finding][0]}"]
        lines += [f"  ✓ {line}" for line in self.evidence]
        return "\n".join([*lines, f"Limits:    {self.limits}"])

    def _repr_html_(self) -> str:
        words, colour = FINDINGS[self.finding]
        evidence = "".join(f"<li>✓ {escape(line)}</li>" for line in self.evidence)
        return (
            f'<div class="{VERDICT_CLASS}" data-claim="{escape(self.claim)}" data-finding="{self.finding}" '
            f'style="border-left:4px solid {colour};padding:.2em 1em;text-align:left">'
            f"<p><em>“{escape(self.statement)}”</em></p><p><strong>Verdict: {words}.</strong></p>"
            f'<ul style="list-style:none;padding-left:0">{evidence}</ul>'
            f"<p><strong>Limits:</strong> {escape(self.limits)}</p></div>"
        )


def verdict(
    statement: str, finding: Finding, evidence: Mapping[str, bool], *, limits: str, claim: str = ""
) -> None:
    """Conclude an experiment: say whether a statement held, why, and within which limits.

    Args:
        statement: the sentence that was put to the test.
        finding: "true", "false" or "depends".
        evidence: what was seen, each in words that stay the same from run to run, with the comparison that has
            to hold for it: an ordering or a ratio with a margin, never a plain duration.
        limits: under which conditions this was seen, and where it ends.
        claim: the statement's key in the register of claims.

    Raises:
        VerdictError: some of the evidence was not seen in this run.
        ValueError: there is no evidence, or no such finding.
    """
    if finding not in FINDINGS or not evidence:
        raise ValueError(f"A verdict needs evidence and one of {list(FINDINGS)}; got {finding!r}.")
    unseen = [line for line, seen in evidence.items() if not bool(seen)]
    if unseen:
        raise VerdictError(
            "The measurement disagrees with this verdict. Not seen in this run: "
            + " ".join(unseen)
            + " Run the experiment once more with nothing else running; if it stays so, believe the measurement."
        )
    display(Verdict(statement, finding, tuple(evidence), limits, claim))
