"""How a submission's code is run: as Jupyter would, each failure costing what depends on it and no more."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grading_support import HONEST, LAB, SHORT, SOLUTION, UNSOLVED, honest_source, write_notebook

from wirelab.grading import Crew, Report, grade_file


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew(SHORT) as crew:
        yield crew


@pytest.fixture
def graded(crew: Crew, tmp_path: Path):
    """Grade a notebook of these cells."""

    def graded(*cells: str) -> Report:
        return grade_file(write_notebook(tmp_path / "lab.ipynb", *cells), LAB, crew)

    return graded


@pytest.fixture
def starts(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows with each process that is started for a submission."""
    found: list[object] = []
    start = crew.start

    def counted(**options: bool) -> Any:
        found.append(options)
        return start(**options)

    monkeypatch.setattr(crew, "start", counted)
    return found


def failed(report: Report) -> set[str]:
    """The exercises with a check that did not pass."""
    return {result.id.split(".")[0] for result in report.results if not result.passed}


def test_notebook_and_file_alike(graded, crew: Crew) -> None:
    assert graded(honest_source()).score == 10
    assert grade_file(HONEST, LAB, crew).score == 10


def test_solution_and_lab_as_shipped(crew: Crew) -> None:
    assert grade_file(SOLUTION, LAB, crew).score == 10
    report = grade_file(UNSOLVED, LAB, crew)
    assert report.score == 0
    assert {result.message.split(":")[0] for result in report.results} == {"Not attempted"}


def test_failing_cells_cost_what_depends_on_them(graded) -> None:
    report = graded("1 / 0", "def broken(:", honest_source(), "raise SystemExit", "import missing_module")
    assert report.score == 10
    assert report.error is not None
    for fault in (
        "cell 1: ZeroDivisionError",
        "cell 2: SyntaxError",
        "cell 4: SystemExit",
        "cell 5: ModuleNotFound",
    ):
        assert fault in report.error


def test_cell_that_hangs_is_interrupted(graded) -> None:
    """Whether it computes, sleeps or awaits; the cells after it run."""
    report = graded(
        honest_source(), "import asyncio\nawait asyncio.sleep(100)", "answer = 42", "assert answer == 42"
    )
    assert report.score == 10
    assert report.error == "in cell 2: CellTimeout: it was still running after 1 s"
    report = graded(honest_source(), "while True: pass", "1 / 0")
    assert report.score == 10
    assert "cell 2: CellTimeout" in str(report.error)
    assert "cell 3: ZeroDivisionError" in str(report.error)


def test_jupyter_ways(graded) -> None:
    """Magics, shell lines, top-level await, tasks that go on, the last value, display."""
    report = graded(
        "%time import asyncio\n!exit 0\nwords = !echo two words\nassert words == ['two words']",
        "async def later(value):\n    await asyncio.sleep(0.01)\n    return value",
        "six = await later(6)",
        "task = asyncio.create_task(later(7))",
        "seven = await task",
        "six * seven",
        "from IPython.display import display\ndisplay(_)\nassert _ == 42",
        "%%capture output\nprint('caught')",
        "assert output.stdout == 'caught\\n'",
        honest_source(),
    )
    assert report.error is None
    assert report.score == 10


@pytest.mark.parametrize(
    "cell",
    [
        "import threading, time\nthreading.Thread(target=time.sleep, args=(100,), daemon=True).start()",
        "import asyncio\nforever = asyncio.create_task(asyncio.sleep(100))",
    ],
    ids=["thread", "task"],
)
def test_process_that_cannot_be_forked_is_started_again(graded, starts: list[object], cell: str) -> None:
    """A thread or an unfinished task is no mistake: each exercise then runs the cells anew."""
    assert graded(honest_source(), cell).score == 10
    assert len(starts) > 1


def test_idle_threads_of_the_event_loop_are_no_hindrance(graded, starts: list[object]) -> None:
    """What `asyncio.to_thread` leaves; the cells run once."""
    report = graded("import asyncio\nassert await asyncio.to_thread(sum, [1, 2]) == 3", honest_source())
    assert report.score == 10
    assert len(starts) == 1


def test_servers_of_the_notebook_are_no_hindrance(graded) -> None:
    report = graded(
        honest_source(),
        "from wirelab import serve\nimport requests\nserver = serve(app)",
        "assert requests.post(server.http + '/todos', json={'task': 'Try'}, timeout=5).status_code == 201",
    )
    assert report.error is None
    # The learner's own try has added a third todo.
    assert failed(report) <= {"read"}


def test_main_program_of_a_file_is_not_run(crew: Crew, tmp_path: Path) -> None:
    file = tmp_path / "answer.py"
    file.write_text(honest_source() + "\nif __name__ == '__main__':\n    import uvicorn\n    uvicorn.run(app)\n")
    report = grade_file(file, LAB, crew)
    assert (report.score, report.error) == (10, None)


def test_empty_home_and_clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Home, working and temporary folder are one, and empty; the environment holds only what Python needs."""
    monkeypatch.setenv("CLASS_TOKEN", "secret")
    cells = (
        "import json, os, sys, tempfile, pathlib",
        "home = os.getcwd()",
        "same = {home, str(pathlib.Path.home()), tempfile.gettempdir()}",
        "raise RuntimeError(json.dumps([len(same), os.listdir(home), sorted(os.environ), len(sys.argv)]))",
    )
    with Crew(SHORT) as crew:
        report = grade_file(write_notebook(tmp_path / "lab.ipynb", *cells), LAB, crew)
    assert report.error is not None
    folders, files, environment, _ = json.loads(report.error.split("RuntimeError: ")[1])
    assert (folders, files) == (1, [])
    assert "CLASS_TOKEN" not in environment
    assert set(environment) < {*os.environ, "USERPROFILE", "TMPDIR", "TEMP", "TMP"} | {
        *("MALLOC_ARENA_MAX", "MPLBACKEND", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONDONTWRITEBYTECODE"),
        *("no_proxy", "WIRELAB_GRADING", "IPYTHONDIR"),
    }


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_inherited_handles(graded) -> None:
    """Standard input and output lead nowhere; the rest is the connection to the grader and an event loop."""
    report = graded(
        "import os\nhandles = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')]",
        "kinds = [os.readlink(handle).split(':')[0] for handle in handles if os.path.exists(handle)]",
        "raise RuntimeError(' '.join(sorted(kinds)))",
    )
    kinds = str(report.error).split("RuntimeError: ")[1].split()
    assert kinds == ["/dev/null"] * 3 + ["anon_inode"] + ["socket"] * 3


def test_rewritten_doubled_and_deleted_checks_change_nothing(crew: Crew, tmp_path: Path) -> None:
    """The notebook's own check cells are for the learner only."""
    for shipped, score in ((UNSOLVED, 0), (SOLUTION, 10)):
        notebook = json.loads(shipped.read_text("utf-8"))
        checks = [cell for cell in notebook["cells"] if "".join(cell["source"]).startswith("lab.check")]
        assert len(checks) >= 4
        checks[0]["source"] = "print('10 of 10')\nlab.check = lambda *what: True"
        checks[1]["source"] = "10.0"
        notebook["cells"].remove(checks[2])
        notebook["cells"] += [checks[3]] * 3
        file = tmp_path / f"{score}.ipynb"
        file.write_text(json.dumps(notebook), "utf-8")
        assert grade_file(file, LAB, crew).score == score
