"""Labs are what their solutions say, and what nbgrader would have released."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

from wirelab.authoring import AuthoringError, build, lab_of, lab_text, without_solution

ROOT = Path(__file__).parents[1]
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))


def name(path):
    return path.stem


def graded(grade_id, *, id=None, source="", kind="code", **own):
    metadata = {"nbgrader": {"schema_version": 3, "grade": False, "solution": False, "locked": True, **own}}
    metadata["nbgrader"]["grade_id"] = grade_id
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    return make(source, id=id or grade_id.replace(" ", "_"), metadata=metadata)


def solution(*cells):
    return nbformat.v4.new_notebook(cells=list(cells), metadata={"wirelab": {"lab": "01_todo_api"}})


def write(folder, notebook, file="01_todo_api.ipynb"):
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / file)
    return folder / file


def test_labs_are_what_their_solutions_say():
    assert build(ROOT / "solutions", ROOT / "labs", check=True) == [], "run `wirelab build`"


def test_second_build_changes_no_byte(tmp_path):
    first = build(ROOT / "solutions", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(first) == sorted(before)
    assert build(ROOT / "solutions", tmp_path) == []
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_build_writes_what_is_stale_and_removes_what_has_no_solution(tmp_path):
    write(tmp_path / "solutions", solution(graded("a", source="1")))
    labs = tmp_path / "labs"
    assert build(tmp_path / "solutions", labs, check=True) == [labs / "01_todo_api.ipynb"]
    assert not labs.exists()
    build(tmp_path / "solutions", labs)
    shutil.copy(labs / "01_todo_api.ipynb", labs / "orphan.ipynb")
    write(tmp_path / "solutions", solution(graded("a", source="2")))
    assert build(tmp_path / "solutions", labs) == [labs / "01_todo_api.ipynb", labs / "orphan.ipynb"]
    assert [path.name for path in labs.iterdir()] == ["01_todo_api.ipynb"]
    assert build(tmp_path / "solutions", labs, check=True) == []


@pytest.mark.parametrize("path", SOLUTIONS, ids=name)
def test_lab_holds_nothing_of_the_solution(path):
    lab = json.loads(lab_text(path))
    assert "SOLUTION" not in json.dumps(lab)
    solved = nbformat.read(path, as_version=4)
    assert [cell["id"] for cell in lab["cells"]] == [cell.id for cell in solved.cells]
    for cell in lab["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            assert "# TODO: " in "".join(cell["source"])
            assert "raise NotImplementedError()" in "".join(cell["source"])


@pytest.mark.parametrize("path", SOLUTIONS, ids=name)
def test_lab_is_what_nbgrader_releases(path, tmp_path, monkeypatch):
    pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e .[dev]")
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    source = tmp_path / "source" / "lab" / path.name
    source.parent.mkdir(parents=True)
    shutil.copy(path, source)
    config = Config()
    config.CourseDirectory.root = str(tmp_path)
    config.CourseDirectory.assignment_id = "lab"
    config.CourseDirectory.db_url = f"sqlite:///{tmp_path}/gradebook.db"
    # nbgrader calls a command that is installed beside it.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    course = CourseDirectory(config=config)
    GenerateAssignment(coursedir=course, config=config).start()
    released = json.loads((tmp_path / "release" / "lab" / path.name).read_text("utf-8"))
    assert json.loads(lab_text(path)) == released


def test_stub_takes_the_place_and_indent_of_a_solution():
    source = "def f():\n    # TODO: x\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION\n\nf"
    assert without_solution(source, ("a", "b")) == "def f():\n    # TODO: x\n    a\n    b\n\nf"
    assert without_solution("all of it", ("a", "b")) == "a\nb"


def test_only_answers_may_be_edited_and_no_graded_cell_deleted():
    lab = lab_of(
        solution(
            graded("given"),
            graded("answer", solution=True, locked=False),
            graded("check", grade=True, points=2),
            graded("text", kind="markdown"),
            nbformat.v4.new_code_cell("free"),
        )
    )
    assert [(cell.metadata.get("editable"), cell.metadata.get("deletable")) for cell in lab.cells] == [
        (False, False),
        (None, False),
        (False, False),
        (False, False),
        (None, None),
    ]


def test_a_solution_keeps_its_own_text():
    solved = solution(
        graded("answer", source="### BEGIN SOLUTION\n1\n### END SOLUTION", solution=True, locked=False)
    )
    before = json.dumps(solved)
    lab_of(solved)
    assert json.dumps(solved) == before


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ([nbformat.v4.new_code_cell("### BEGIN SOLUTION\n### END SOLUTION", id="x")], "cell x: .* no answer cell"),
        (
            [graded("x", source="### BEGIN SOLUTION\n1", solution=True)],
            "cell x: each BEGIN SOLUTION needs its END",
        ),
        ([graded("x"), graded("x", id="y")], "cell y: another cell has the grade_id x"),
        ([graded("x", grade=True)], "cell x: a graded cell has points, and no other"),
        ([graded("x", points=1)], "cell x: a graded cell has points, and no other"),
        ([graded("x", hint="…")], "cell x: nbgrader allows no hint in its metadata"),
        ([graded("x", schema_version=2)], "cell x: nbgrader's schema_version must be 3"),
        ([graded("x y")], "the grade_id 'x y' may have letters"),
    ],
)
def test_what_cannot_become_a_lab_is_named(tmp_path, cells, fault):
    notebook = solution(*cells)
    path = tmp_path / "01_todo_api.ipynb"
    path.write_text(json.dumps(notebook), "utf-8")
    with pytest.raises(AuthoringError, match=f"01_todo_api.ipynb: .*{fault}"):
        lab_text(path)


def test_a_solution_names_its_lab(tmp_path):
    path = write(tmp_path, nbformat.v4.new_notebook())
    with pytest.raises(AuthoringError, match=r"no wirelab\.lab"):
        lab_text(path)
