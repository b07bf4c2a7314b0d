"""Every lab: what it ships with, what it scores untouched and solved, and how it speaks to a learner."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib.util
import inspect
import io
import os
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from fastapi import FastAPI
from lab_answers import judge, judge_together, wrong_ones
from nbclient import NotebookClient

from wirelab import stop_all
from wirelab.checks import GRADING_VARIABLE, LABS, local
from wirelab.lab import Report, open_lab

ROOT = Path(__file__).parents[1]
WRITTEN = [name for name in LABS if (ROOT / "solutions" / f"{name}.ipynb").exists()]


def notebook(folder, lab):
    return nbformat.read(ROOT / folder / f"{lab}.ipynb", as_version=4)


def is_check(cell):
    return cell.metadata.get("nbgrader", {}).get("grade", False)


def run_cells(cells):
    """What the cells of the lab define, without those that only try it out; their own checks stay silent."""
    space = {}
    os.environ[GRADING_VARIABLE] = "1"
    try:
        with contextlib.redirect_stdout(io.StringIO()), asyncio.Runner() as runner:
            for cell in cells:
                if cell.cell_type == "code" and "nbgrader" in cell.metadata:
                    code = compile(cell.source, cell.id, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                    if inspect.iscoroutine(running := eval(code, space)):
                        runner.run(running)
    finally:
        del os.environ[GRADING_VARIABLE]
        stop_all()
    return space


def test_every_lab_with_checks_has_its_notebooks():
    modules = {name for name in LABS if importlib.util.find_spec(f"wirelab.checks.{LABS.module_of(name)}")}
    assert set(WRITTEN) == modules


@pytest.mark.parametrize("lab", WRITTEN)
def test_form(lab):
    checks = LABS[lab].checks
    assert LABS[lab].name == lab
    assert sum(check.points for check in checks) == 10
    assert len({check.id for check in checks}) == len(checks)
    for name, exercise in LABS[lab].exercises.items():
        assert exercise.name == name
        assert len(exercise.hints) == 3
        assert set(exercise.needs) <= LABS[lab].deliverables.keys()
        for check in exercise.checks:
            assert re.fullmatch(rf"{name}(\.\w+)?", check.id)
            assert check.expects.endswith(".")
            assert check.why.endswith(".")


@pytest.mark.parametrize("lab", WRITTEN)
def test_notebook_checks_every_exercise_for_its_points(lab):
    cells = [cell for cell in notebook("labs", lab).cells if is_check(cell)]
    called = [re.fullmatch(r'lab\.check\("(\w+)", (.+)\)', cell.source) for cell in cells]
    assert [(call[1], call[2].split(", ")) for call in called] == [
        (exercise.name, list(exercise.needs)) for exercise in LABS[lab].exercises.values()
    ]
    assert [cell.metadata.nbgrader.points for cell in cells] == [
        exercise.points for exercise in LABS[lab].exercises.values()
    ]


@pytest.mark.parametrize("folder", ["labs", "solutions"])
@pytest.mark.parametrize("lab", WRITTEN)
def test_notebook_is_for_newcomers(folder, lab):
    shown = notebook(folder, lab)
    assert shown.metadata.wirelab.lab == lab
    assert 20 <= shown.metadata.wirelab.minutes <= 60
    assert sum(len(cell.source.split()) for cell in shown.cells if cell.cell_type == "markdown") <= 1200
    for cell in shown.cells:
        assert cell.cell_type == "markdown" or len(cell.source.splitlines()) <= 12, cell.id


@cache
def judged(lab):
    """The results of the lab's notebook by how many of its exercises are solved, from the top; 0 is as shipped."""
    exercises = list(LABS[lab].exercises)
    solved_cells = {cell.id: cell for cell in notebook("solutions", lab).cells}
    works = {}
    for count in range(len(exercises) + 1):
        done = tuple(f"{name}-" for name in exercises[:count])
        shown = [solved_cells[c.id] if c.id.startswith(done) else c for c in notebook("labs", lab).cells]
        works[count] = run_cells(shown)
    return judge_together(lab, works | {"solution": run_cells(solved_cells.values())})


@pytest.mark.parametrize("lab", WRITTEN)
@pytest.mark.timeout(300)  # The first test of a lab waits until its notebooks are judged.
class TestJudged:
    def test_solution_scores_in_full(self, lab):
        results = judged(lab)["solution"]
        assert not wrong_ones(results)
        assert sum(result.score for result in results) == 10

    def test_lab_as_shipped_is_not_attempted(self, lab):
        results = judged(lab)[0]
        assert {result.passed for result in results} == {None}
        assert all(result.message.startswith("Not attempted: ") for result in results)
        assert sum(result.score for result in results) == 0

    def test_what_is_solved_from_the_top_makes_no_later_exercise_wrong(self, lab):
        for count in range(1, len(LABS[lab].exercises) + 1):
            results = judged(lab)[count]
            assert not [result for result in results if result.passed is False], (count, wrong_ones(results))


@pytest.mark.parametrize("lab", WRITTEN)
def test_lab_as_shipped_runs_top_to_bottom(lab):
    shown = notebook("labs", lab)
    NotebookClient(shown, timeout=60, record_timing=False).execute()
    for cell in shown.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output
        if is_check(cell):
            report, score = cell.outputs
            assert "not attempted" in report.data["text/plain"]
            assert "not attempted" in report.data["text/html"]
            assert score.data["text/plain"] == "0.0"


SESSION = [
    "from fastapi import FastAPI\nimport logging, os, sys\nfrom wirelab.lab import open_lab, rerunnable\n"
    "lab = open_lab('01_todo_api')\napp = rerunnable(FastAPI())\nlogging.basicConfig(stream=sys.stderr)",
    "@app.get('/todos')\ndef list_todos():\n    print('heard'); print('heard', file=sys.stderr)\n"
    "    logging.error('heard')\n    os.system('echo heard')\n    return 1 / 0",
    "lab.check('read', app)",
    "@app.get('/todos')\ndef list_todos()\n    return []",
    "lab.check('read', app)",
    "@app.get('/todos')\ndef list_todos():\n    return [{'id': n, 'task': 'x', 'status': 'y'} for n in (1, 2)]",
    "lab.check('read', app)",
    "for _ in range(4): lab.hint('read')",
    "lab.progress()",
    "lab.check('rread', app)",
]


@pytest.fixture(scope="module")
def session():
    """The text of each cell of a learner's session."""
    work = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in SESSION])
    NotebookClient(work, timeout=60, kernel_name="python3", allow_errors=True).execute()
    return ["\n".join(_texts(cell.outputs)) for cell in work.cells]


def _texts(outputs):
    for output in outputs:
        yield output.get("text") or output.get("evalue") or output["data"]["text/plain"]


def test_check_shows_the_error_and_keeps_the_servers_words_to_itself(session):
    assert "✗ read.list: wrong\n    Sent GET /todos;\n    got 500 Internal Server Error" in session[2]
    assert "ZeroDivisionError: division by zero (in list_todos: return 1 / 0)" in session[2]
    assert 'For a hint: lab.hint("read")' in session[2]
    assert session[2].endswith("0.0")
    assert "heard" not in "".join(session)


def test_check_says_that_a_cell_has_a_syntax_error(session):
    assert "A cell of yours ended with SyntaxError in its line 2: expected ':'." in session[4]
    assert "the check meets what was there before" in session[4]


def test_check_meets_the_newest_handler(session):
    assert "✓ read.list: passed" in session[6]
    assert "– read.one: not attempted\n    GET /todos/1 answers 404 Not Found." in session[6]
    assert session[6].endswith("0.5")


def test_faulty_cell_is_forgotten_when_it_is_mended(capsys):
    lab = open_lab("01_todo_api")

    def ran(cell, error=None):
        info = SimpleNamespace(cell_id=cell, raw_cell="def list_todos(): ...")
        lab._watch(SimpleNamespace(error_before_exec=None, error_in_exec=error, info=info))
        lab.check("read", FastAPI())
        return "ended with NameError: name 'x'" in capsys.readouterr().out

    assert ran("a", NameError("name 'x' is not defined"))
    assert ran("b")
    assert not ran("a")


def test_hints_come_one_at_a_time(session):
    hints = LABS["01_todo_api"].exercises["read"].hints
    assert session[7] == "\n".join(
        f"Hint {number} of 3: {hint}" for number, hint in zip((1, 2, 3, 3), [*hints, hints[2]], strict=True)
    )


def test_progress_shows_the_last_check_of_each_exercise(session):
    assert "0.5 of 10 points" in session[8]
    assert "read: 0.5 of 2 points" in session[8]
    assert "create: not checked yet" in session[8]


def test_unknown_exercise_is_named_with_those_there_are(session):
    assert "There is no exercise 'rread'; there are read, create, replace, delete, ids." in session[9]


def test_unknown_lab_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="There is no lab '1'; there are 01_todo_api"):
        open_lab("1")


def test_check_asks_for_what_it_needs():
    with pytest.raises(TypeError, match=re.escape("Write lab.check('create', app).")):
        open_lab("01_todo_api").check("create")


def test_lab_is_silent_while_it_is_graded(monkeypatch, capsys):
    monkeypatch.setenv(GRADING_VARIABLE, "1")
    lab = open_lab("01_todo_api")
    assert lab.check("create", None) == 0.0
    lab.hint("create")
    lab.progress()
    assert capsys.readouterr() == ("", "")


def test_system_without_fork_is_told(monkeypatch, capsys):
    monkeypatch.delattr(os, "fork")
    monkeypatch.setattr(local, "CAN_FORK", False)
    open_lab("01_todo_api").check("read", FastAPI())
    assert "This system cannot fork" in capsys.readouterr().out


def test_report_escapes_what_a_server_sent(capsys):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"<script>alert(1)</script>\x1b[31m"})

    exercise = LABS["01_todo_api"].exercises["read"]
    results = judge("01_todo_api", {"app": app})[: len(exercise.checks)]
    html = Report(exercise, results, [])._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "\x1b" not in html
