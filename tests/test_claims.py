"""The register of claims: every statement has its verdict, and the page says what the lessons found."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from wirelab.claims import ClaimsError, Statement, missing, page, read_register, verdicts, write_page
from wirelab.lesson import Verdict

ROOT = Path(__file__).parents[1]
REGISTER = ROOT / "docs" / "claims.toml"
LESSONS = ROOT / "notebooks"


def lesson(folder, name, *claims):
    """A lesson that concluded on these."""
    cells = []
    for claim in claims:
        shown = Verdict(f"About {claim}.", "depends", ("seen",), "Here | only.", claim)
        data = {"text/html": shown._repr_html_(), "text/plain": repr(shown)}
        output = nbformat.v4.new_output("display_data", data)
        cells.append(nbformat.v4.new_code_cell("verdict(...)", outputs=[output], id=f"{claim}-cell"))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")


def test_every_statement_has_its_verdict():
    assert not missing(read_register(REGISTER), verdicts(LESSONS), [path.stem for path in LESSONS.glob("*.ipynb")])


def test_page_is_what_the_lessons_found():
    assert write_page(REGISTER, LESSONS, check=True) is None, "run: wirelab build"


def test_every_verdict_of_a_lesson_has_a_key():
    assert "" not in verdicts(LESSONS)


def test_page_shows_verdicts_with_their_conditions(tmp_path):
    lesson(tmp_path, "01_one", "a", "b")
    text = page(
        [Statement("Topic", "It works.", ("a",)), Statement("Topic", "It flies.", ("c",), "02_two")],
        verdicts(tmp_path),
    )
    assert (
        "| It works. | “About a.” **it depends** | Here \\| only. | [01_one](../notebooks/01_one.ipynb), `a-cell`"
        in text
    )
    assert "| It flies. | not tried yet | | lesson 02_two |" in text
    assert "## Also tried" in text
    assert "| About b. | **it depends** |" in text


def test_statement_without_verdict_is_named_once_its_lesson_is_there(tmp_path):
    lesson(tmp_path, "01_one", "a")
    register = [Statement("Topic", "It flies.", ("c",), "02_two")]
    assert not missing(register, verdicts(tmp_path), ["01_one"])
    assert missing(register, verdicts(tmp_path), ["02_two"]) == [
        "Topic: It flies. No lesson gives a verdict on 'c'."
    ]


def test_two_verdicts_of_one_key_are_refused(tmp_path):
    lesson(tmp_path, "01_one", "a")
    lesson(tmp_path, "02_two", "a")
    with pytest.raises(ClaimsError, match=r"02_two \(a-cell\) and 01_one \(a-cell\) both"):
        verdicts(tmp_path)


@pytest.mark.parametrize(
    "entry", ['says = "x"\nclaims = []', 'topic = "t"\nsays = "x"\nclaim = ["a"]', 'topic = "t"']
)
def test_entry_that_lacks_something_is_refused(tmp_path, entry):
    path = tmp_path / "claims.toml"
    path.write_text(f"[[statement]]\n{entry}\n")
    with pytest.raises(ClaimsError, match="each statement needs topic, says and claims"):
        read_register(path)


@pytest.mark.parametrize(
    ("data", "words"), [(b"[[statement", "is no TOML"), (b"\xff", "is no TOML"), (b"", "each statement needs")]
)
def test_register_with_a_slip_is_refused(tmp_path, data, words):
    path = tmp_path / "claims.toml"
    path.write_bytes(data)
    with pytest.raises(ClaimsError, match=words):
        read_register(path)


def test_stale_page_is_found_and_written_anew(tmp_path):
    lesson(tmp_path, "01_one", "a")
    register = tmp_path / "claims.toml"
    register.write_text('[[statement]]\ntopic = "t"\nsays = "x"\nclaims = ["a"]\n')
    assert write_page(register, tmp_path, check=True) == tmp_path / "claims.md"
    assert not (tmp_path / "claims.md").exists()
    assert write_page(register, tmp_path) == tmp_path / "claims.md"
    assert write_page(register, tmp_path) is None
