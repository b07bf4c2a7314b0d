"""What grading a submission came to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..checks import Result

# Characters of the longest text that a report carries.
TEXT_LENGTH = 4000
# What terminals, XML and readers take for something else: control characters, surrogates, changes of direction.
UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Report:
    """The outcome of grading one submission.

    Attributes:
        submission: its path.
        lab: the lab; None if it is not known.
        results: one for each check of the lab, in the lab's order.
        error: what went wrong beside the checks, if anything.
        transcripts: for each exercise what its checks sent and received, line by line, where that was recorded.
    """

    submission: str
    lab: str | None
    results: tuple[Result, ...] = ()
    error: str | None = None
    transcripts: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def score(self) -> float:
        """Points earned."""
        return plain(sum(result.score for result in self.results))

    @property
    def max_score(self) -> float:
        """Points to be had."""
        return plain(sum(result.points for result in self.results))

    @property
    def passed(self) -> bool:
        """Whether every check passed; there must be one."""
        return bool(self.results) and all(result.passed for result in self.results)


def make_report(
    submission: str,
    lab: str | None,
    results: Iterable[Result] = (),
    error: str = "",
    transcripts: Iterable[tuple[str, Iterable[str]]] = (),
) -> Report:
    """Make a report whose texts are harmless: parts of them may come from a learner's process."""
    harmless = tuple(replace(result, message=clean(result.message)) for result in results)
    told = tuple((exercise, tuple(clean(line, aligned=True) for line in lines)) for exercise, lines in transcripts)
    return Report(clean(submission), lab, harmless, clean(error) or None, told)


def clean(text: str, *, aligned: bool = False) -> str:
    """Replace what is no printable text, cut what is too long, make one line of it.

    CI systems take commands from lines of output: no line shall be of a learner's making.

    Args:
        text: anything.
        aligned: keep as many blanks as there are.
    """
    text = UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    text = re.sub(r"\s", " ", text) if aligned else " ".join(text.split())
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1] + "…"


def plain(value: float) -> float:
    """A number of points without the noise of binary fractions, and an int where it is whole."""
    value = round(value, 6)
    return int(value) if value == int(value) else value
