"""Right answers of any kind score in full, and each mistake is found by the check that it belongs to, alone.

Judging is waiting: all answers of a lab are judged at the same time, once, and each test looks at its own results.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_answers import answers, judged_bank, lacking, must_fail, wrong_ones

from wirelab.checks import LABS

# The first test of a lab waits until all its answers are judged.
pytestmark = pytest.mark.timeout(300)


def bank(kind):
    for lab in LABS:
        for answer in answers(lab, kind):
            yield pytest.param(lab, answer, id=f"{lab}-{answer.stem}")


@pytest.mark.parametrize(("lab", "answer"), [*bank("right")])
def test_right_answer_scores_in_full(lab, answer):
    results = judged_bank(lab)[answer]
    assert not wrong_ones(results)
    assert sum(result.score for result in results) == 10


@pytest.mark.parametrize(("lab", "answer"), [*bank("wrong")])
def test_wrong_answer_is_found_by_its_check_alone(lab: str, answer: Path):
    if why := lacking(answer):
        pytest.skip(why)
    results, expected = judged_bank(lab)[answer], must_fail(answer)
    found = {result.id: result for result in results if not result.passed}
    assert found.keys() == expected.keys(), wrong_ones(results)
    for check, words in expected.items():
        message = found[check].message
        assert words in message
        if found[check].passed is False:
            assert "sent " in message.lower()
            assert "expected " in message


@pytest.mark.parametrize("lab", LABS)
def test_the_bank_holds_enough(lab):
    assert len(answers(lab, "right")) >= 2
    assert len(answers(lab, "wrong")) >= (8 if lab in ("01_todo_api", "02_price_stream") else 6)
