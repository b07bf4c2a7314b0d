"""The command: what it grades, what it prints, what it returns."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest
import typer
from grading_support import HONEST, LAB, TESTS, honest_source, write_notebook
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from wirelab.checks import LABS, Result
from wirelab.grading import Crew, Report, command, formats
from wirelab.grading.command import grade_command
from wirelab.grading.report import make_report
from wirelab.grading.sandbox import Isolation

WRONG = TESTS / "answers" / LAB / "wrong" / "ids_by_counting.py"
FORMATS = ("table", "json", "junit", "csv", "markdown", "gradescope", "classroom50")

app = typer.Typer()
app.command()(grade_command)


def run(*words: object) -> Outcome:
    """Call the command."""
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class: two honest answers, a wrong one, one that is no notebook, and what is no submission at all."""
    folder = tmp_path_factory.mktemp("class")
    for name in (".ipynb_checkpoints", "__pycache__", "bob", "eve", f"{LAB}-by-folder"):
        (folder / name).mkdir()
    write_notebook(folder / "ada.ipynb", honest_source(), wirelab={"lab": LAB})
    write_notebook(folder / ".ipynb_checkpoints" / "ada.ipynb", "1 / 0", wirelab={"lab": LAB})
    (folder / "bob" / f"{LAB}.py").write_text(WRONG.read_text("utf-8"), "utf-8")
    (folder / "eve" / f"{LAB}.ipynb").write_text("=no notebook", "utf-8")
    (folder / f"{LAB}-by-folder" / "dan.py").write_text(honest_source(), "utf-8")
    (folder / "eve" / "my_tools.py").write_text("raise SystemExit", "utf-8")
    (folder / "readme.txt").write_text("not a submission", "utf-8")
    return folder


@pytest.fixture(scope="module")
def graded(folder: Path) -> list[dict]:
    """The class, graded once, as JSON."""
    outcome = run(folder, "--format", "json")
    assert outcome.exit_code == 1, outcome.output
    return [json.loads(line) for line in outcome.stdout.splitlines()]


@pytest.fixture(scope="module")
def reports(graded: list[dict]) -> list[Report]:
    """The same as reports, to be written in every form."""
    return [
        make_report(
            one["submission"],
            one["lab"],
            [Result(**check) for check in one["checks"]],
            one["error"] or "",
        )
        for one in graded
    ]


def test_folder_stands_for_all_submissions_below(graded: list[dict], folder: Path) -> None:
    found = [(Path(one["submission"]).relative_to(folder).as_posix(), one["score"]) for one in graded]
    assert found == [
        (f"{LAB}-by-folder/dan.py", 10),
        ("ada.ipynb", 10),
        (f"bob/{LAB}.py", 9),
        (f"eve/{LAB}.ipynb", 0),
    ]


def test_json(graded: list[dict]) -> None:
    """To the letter of the interface; every check in the lab's order, also those that could not run."""
    for one in graded:
        assert list(one) == ["submission", "lab", "score", "max_score", "checks", "error"]
        assert one["lab"] == LAB
        assert one["max_score"] == 10
        assert [check["id"] for check in one["checks"]] == [check.id for check in LABS[LAB].checks]
        for check in one["checks"]:
            assert list(check) == ["id", "passed", "score", "points", "message", "hint"]
            assert isinstance(check["passed"], bool)
            assert check["message"]
            assert check["score"] == (check["points"] if check["passed"] else 0)
        assert one["score"] == pytest.approx(sum(check["score"] for check in one["checks"]))
    assert [one["error"] is None for one in graded] == [True, True, True, False]
    assert "no notebook" in graded[3]["error"]


def test_junit(reports: list[Report]) -> None:
    suites = ET.fromstring(formats.render("junit", reports))
    assert [suite.get("name") for suite in suites] == [report.submission for report in reports]
    for suite, report in zip(suites, reports, strict=True):
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases)) == "19"
        assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
        points = {
            case.get("name"): case.find("properties/property[@name='points']").get("value") for case in cases
        }
        assert points == {result.id: str(formats.plain(result.points)) for result in report.results}
        assert suite.find("properties/property[@name='score']").get("value") == str(report.score)


def test_csv(reports: list[Report]) -> None:
    rows = list(csv.DictReader(io.StringIO(formats.render("csv", reports))))
    assert [float(row["score"]) for row in rows] == [10, 10, 9, 0]
    assert rows[2]["ids.highest"] == "0"
    assert rows[3]["error"]


def test_csv_holds_no_formula() -> None:
    text = formats.render("csv", [make_report("=cmd|' /C calc'!A0", None, error="@SUM(1)")])
    assert text.splitlines()[1].startswith("'=cmd")
    assert text.splitlines()[1].endswith("'@SUM(1)")


def test_markdown(reports: list[Report]) -> None:
    text = formats.render("markdown", reports)
    assert text.count("\n| ✓ |") + text.count("\n| ✗ |") + text.count("\n| – |") == 4 * 19
    assert all(line.count("|") - line.count("\\|") == 5 for line in text.splitlines() if line.startswith("|"))


def test_gradescope(reports: list[Report]) -> None:
    """The keys of Gradescope's autograder specification."""
    for line, report in zip(formats.render("gradescope", reports).splitlines(), reports, strict=True):
        result = json.loads(line)
        assert set(result) == {"score", "output", "tests"}
        assert result["score"] == report.score
        for test in result["tests"]:
            assert set(test) == {"name", "score", "max_score", "status", "visibility", "output"}
            assert test["status"] in ("passed", "failed")
            assert test["visibility"] == "visible"
            assert isinstance(test["output"], str)


def test_classroom50(reports: list[Report], monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of classroom50/result/v1, whole scores, and what its runner's variables say."""
    monkeypatch.setenv("CLASSROOM", "web-2026")
    monkeypatch.setenv("COMMIT_URL", "https://example.org/commit/1")
    monkeypatch.delenv("REVIEW_URL", raising=False)
    for line, report in zip(formats.render("classroom50", reports).splitlines(), reports, strict=True):
        result = json.loads(line)
        assert list(result) == [
            *("schema", "classroom", "assignment", "submission", "commit", "release", "review", "datetime"),
            *("score", "max-score", "tests"),
        ]
        assert result["schema"] == "classroom50/result/v1"
        assert result["classroom"] == "web-2026"
        assert result["review"] == result["commit"] == "https://example.org/commit/1"
        assert result["submission"].startswith("submit/")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["datetime"])
        for test in [result, *result["tests"]]:
            assert isinstance(test["score"], int)
            assert isinstance(test["max-score"], int)
            assert 0 <= test["score"] <= test["max-score"]
        assert {frozenset(test) for test in result["tests"]} == {
            frozenset({"test-name", "passed", "score", "max-score"})
        }
        assert result["score"] / result["max-score"] == pytest.approx(report.score / report.max_score)


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_text_stays_text(form: str) -> None:
    """Messages hold what learners' servers said: control characters, markup, commands of CI systems."""
    text = "\x1b[31m]]>&<script>|\n::error::x [bold]\u202e \ud800 \x00"
    result = Result("read.list", False, 0.0, 0.5, f"got {text}", "hint")
    report = make_report(f"a{text}.py", LAB, [result], f"in {text}")
    if form == "table":
        from rich.console import Console

        console = Console(record=True, width=80, file=io.StringIO())
        console.print(formats.as_table([report]))
        written = console.export_text()
        assert "[bold]" in written
    else:
        written = formats.render(form, [report])
    if form == "junit":
        ET.fromstring(written)
    written.encode("utf-8")
    assert not re.search("[\x00\x1b\u202e]", written)
    assert not any(line.startswith("::") for line in written.splitlines())


def test_exit_status(folder: Path, tmp_path: Path) -> None:
    assert run(HONEST, "--lab", LAB).exit_code == 0
    assert run(WRONG, "--lab", LAB).exit_code == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "Missing argument"),
        (["nowhere"], "there is no nowhere"),
        ([HONEST, "--lab", "99_unknown"], "there is no lab '99_unknown'"),
        ([HONEST.parent.parent / "wrong" / "nothing.py", "--lab", LAB], "there is no"),
        ([HONEST, "--format", "pdf", "--lab", LAB], "pdf"),
        ([HONEST, "--lab", LAB, "--output", "no/such/folder/file"], "there is no folder"),
    ],
)
def test_wrong_calls(words: Sequence[object], reason: str) -> None:
    outcome = run(*words)
    assert outcome.exit_code == 2
    assert reason in " ".join(outcome.stderr.split())
    assert outcome.stdout == ""


def test_file_that_does_not_say_its_lab(tmp_path: Path) -> None:
    """Given by its own name it is a wrong call; found in a folder it is one report of many."""
    write_notebook(tmp_path / "unknown.ipynb", "app = 1", wirelab={"lab": ["hostile"]})
    outcome = run(tmp_path / "unknown.ipynb")
    assert outcome.exit_code == 2
    assert "give --lab" in outcome.stderr
    outcome = run(tmp_path, "--format", "json")
    assert outcome.exit_code == 1
    one = json.loads(outcome.stdout)
    assert (one["lab"], one["score"], one["checks"]) == (None, 0, [])
    assert "give --lab" in one["error"]


def test_empty_folder(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    assert outcome.exit_code == 2
    assert "no submission" in outcome.stderr


def test_lab_settles_it(tmp_path: Path) -> None:
    """Metadata and names that say another lab are overruled."""
    write_notebook(tmp_path / "02_price_stream.ipynb", honest_source(), wirelab={"lab": "02_price_stream"})
    assert run(tmp_path, "--lab", LAB).exit_code == 0


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_output_goes_to_the_file(tmp_path: Path, form: str) -> None:
    outcome = run(HONEST, "--lab", LAB, "--format", form, "--output", tmp_path / "out")
    assert (outcome.exit_code, outcome.stdout) == (0, "")
    assert "10" in (tmp_path / "out").read_text("utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_interrupt_keeps_what_is_graded(tmp_path: Path) -> None:
    """Ctrl+C: the reports so far are written, nothing is left running, and the status says so."""
    write_notebook(tmp_path / f"{LAB}-a.ipynb", honest_source())
    write_notebook(tmp_path / f"{LAB}-b.ipynb", "while True: pass", "while True: pass", "while True: pass")
    command = [sys.executable, "-m", "wirelab", "grade", str(tmp_path), "--format", "json", "--jobs", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert json.loads(process.stdout.readline())["score"] == 10
        time.sleep(0.2)
        interrupted = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.monotonic() - interrupted < 8
        assert "Interrupted: 1 submission" in process.stderr.read()


@pytest.mark.parametrize("isolation", Isolation.__members__)
def test_isolation_can_be_required(isolation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where namespaces are not in force nothing is graded."""

    def prepare(crew: Crew) -> None:
        crew.isolation, crew.reason = isolation, "no room"

    monkeypatch.setattr(Crew, "prepare", prepare)
    monkeypatch.setattr(command, "grade", lambda *_, **__: iter([make_report("a.py", LAB)]))
    outcome = run(HONEST, "--lab", LAB, "--require-isolation")
    if isolation == "NAMESPACES":
        assert (outcome.exit_code, outcome.stderr) == (1, "")
    else:
        assert (outcome.exit_code, outcome.stdout) == (2, "")
        assert "nothing was graded" in outcome.stderr
        assert Isolation[isolation].value in outcome.stderr
        assert "because this system gives no room" in outcome.stderr


def test_isolation_of_workers_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def executor(elsewhere: str) -> Iterator[Executor]:
        with ThreadPoolExecutor(1) as threads:
            yield threads

    monkeypatch.setattr(command, "_executor", executor)
    monkeypatch.setattr(command, "grade", lambda *_, **__: iter([make_report("a.py", LAB)]))
    words = (HONEST, "--lab", LAB, "--executor", "dask:tcp://127.0.0.1:1")
    assert "isolation the workers have" in run(*words).stderr
    outcome = run(*words, "--require-isolation")
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "leave out one of them" in outcome.stderr


def test_nothing_but_reports_where_no_terminal_is() -> None:
    said = run(HONEST, "--lab", LAB, "--format", "json").stderr
    assert said == "" or said.startswith("Submissions ran with")


@pytest.mark.skipif(os.name != "posix", reason="looks at the other end of a terminal")
def test_progress_bar_on_a_terminal() -> None:
    """On standard error, so that standard output can still be piped; gone at the end."""
    import pty

    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "wirelab", "grade", str(HONEST), "--lab", LAB, "--format", "json"]
    with ThreadPoolExecutor(1) as threads:
        # Meanwhile: a terminal holds a few thousand bytes, and a slow grading draws more than that.
        reading = threads.submit(_all_of, screen)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, text=True) as process:
            output, _ = process.communicate(timeout=60)
        os.close(terminal)
        shown = reading.result(timeout=10)
    os.close(screen)
    assert json.loads(output)["score"] == 10
    assert "Grading" in shown
    assert "1/1" in shown


def _all_of(screen: int) -> str:
    """What a terminal is sent until its other end is closed."""
    shown = b""
    # Linux reports the closed end as an error, others as the end.
    with contextlib.suppress(OSError):
        while part := os.read(screen, 1 << 16):
            shown += part
    return shown.decode("utf-8", "replace")


def test_command_is_part_of_the_command_line() -> None:
    """``wirelab grade``: its help names every form."""
    command = [sys.executable, "-m", "wirelab", "grade", "--help"]
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert all(form in done.stdout for form in FORMATS)
