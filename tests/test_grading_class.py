"""A class: a report for each learner, a gradebook, a summary, and grading only what changed."""

from __future__ import annotations

import csv
import html
import html.parser
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from grading_support import HONEST, LAB, TESTS, UNSOLVED, honest_source, write_notebook
from typer.testing import CliRunner

from wirelab.checks import BROKE, LABS, Result
from wirelab.checks.transcript import LEGEND
from wirelab.grading import Crew, CrewError, Limits, Report, batch, ledger
from wirelab.grading.command import grade_command
from wirelab.grading.crew import Process
from wirelab.grading.learners import by_learner, file_name, learner_of
from wirelab.grading.losses import losses, picture
from wirelab.grading.pages import gradebook, write_class
from wirelab.grading.report import make_report
from wirelab.grading.submission import Submission

WRONG = TESTS / "answers" / LAB / "wrong" / "ids_by_counting.py"

app = typer.Typer()
app.command()(grade_command)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ada is right, Bob made one mistake, Cy has not begun, Eve handed in something else."""
    folder = tmp_path_factory.mktemp("class")
    for learner in ("ada", "bob", "cy", "<b>Eve"):
        (folder / learner).mkdir()
    write_notebook(folder / "ada" / "lab.ipynb", honest_source(), wirelab={"lab": LAB})
    (folder / "bob" / f"{LAB}.py").write_text(WRONG.read_text("utf-8"), "utf-8")
    (folder / "cy" / f"{LAB}.ipynb").write_bytes(UNSOLVED.read_bytes())
    (folder / "<b>Eve" / f"{LAB}.ipynb").write_text("<script>", "utf-8")
    return folder


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The class, graded once."""
    reports = tmp_path_factory.mktemp("reports") / "new" / "folder"
    outcome = CliRunner().invoke(app, [str(folder), "--format", "csv", "--reports", str(reports)])
    assert outcome.exit_code == 1, outcome.output
    assert "4 submissions of 4 learners" in outcome.stderr
    return reports


class Page(html.parser.HTMLParser):
    """What a page holds: its tags, the alternative texts, the links, the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.alts: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "img":
            self.alts.append(values["alt"] or "")
        if tag == "a":
            self.links.append(values["href"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_report_for_each_learner(written: Path) -> None:
    names = sorted(path.name for path in (written / "learners").iterdir())
    eve = file_name("<b>Eve")
    assert names == sorted(f"{name}.{end}" for name in ("ada", "bob", "cy", eve) for end in ("html", "md"))
    for end in ("html", "md"):
        text = (written / "learners" / f"bob.{end}").read_text("utf-8")
        for check in LABS[LAB].checks:
            assert check.id in text
        assert "9 of 10" in text
        assert "expected" in text


def test_reports_hold_what_was_sent_and_received(written: Path) -> None:
    for end in ("html", "md"):
        text = (written / "learners" / f"ada.{end}").read_text("utf-8")
        for exercise in LABS[LAB].exercises:
            assert f"{exercise}: what was sent and received" in text
        assert re.search(r"ms +→ POST /todos \| content-type: application/json \| \{", text)
        assert "← 201 Created" in text
        assert re.search(r"\| location: \S+ \|", text)
        # In columns, and how to read it.
        assert re.search(r"\n +\d+\.\d ms  → |<span> +\d+\.\d ms  ", text)
        assert html.escape(LEGEND, quote=False) in text


def test_nothing_of_a_learners_making_runs(written: Path) -> None:
    for path in written.rglob("*.html"):
        page = Page(path.read_text("utf-8"))
        assert not {"script", "b", "iframe", "link"} & set(page.tags)
        assert "default-src 'none'" in path.read_text("utf-8")


def test_gradebook(written: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((written / "gradebook.csv").read_text("utf-8"))))
    assert [(row["learner"], row[LAB], row["total"]) for row in rows] == [
        ("<b>Eve", "0", "0"),
        ("ada", "10", "10"),
        ("bob", "9", "9"),
        ("cy", "0", "0"),
    ]


def test_gradebook_counts_the_best_and_holds_no_formula() -> None:
    one = Result("read.list", True, 1.0, 1.0, "", "")
    reports = [make_report("=a/1", LAB, [one]), make_report("=a/2", LAB), make_report("=a/3", None)]
    assert gradebook({"=a": reports}).splitlines() == [f"learner,{LAB},total", "'=a,1,1"]


def test_summary(written: Path) -> None:
    """The picture has alternative text and a table; every learner is one link away."""
    assert (written / "summary.png").read_bytes().startswith(b"\x89PNG")
    page = Page((written / "index.html").read_text("utf-8"))
    (alt,) = page.alts
    assert "4 submissions lost" in alt
    assert "ids.highest" in alt
    assert "<b>Eve" in page.text
    assert len(page.links) == 4
    assert all((written / link).exists() for link in page.links)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is graded; nothing really is."""
    names: list[str] = []

    def judge(submission: Submission, lab: str, crew: Crew, *, record: bool = False) -> Report:
        names.append(Path(submission.name).stem)
        if "interrupt" in str(submission.source):
            raise KeyboardInterrupt
        if "break" in str(submission.source):
            raise RuntimeError("the grader's own fault")
        reason = f"{BROKE} (a test)." if "check broke" in str(submission.source) else "Could not run: a test."
        results = LABS[lab].not_run("read", reason)
        return make_report(submission.name, lab, results, transcripts=[("read", ["→ GET /"])])

    monkeypatch.setattr(batch, "judge", judge)
    monkeypatch.setattr(Crew, "prepare", lambda crew: None)
    return names


@pytest.fixture
def again(tmp_path: Path, judged: list[str]) -> Callable[..., list[str]]:
    """Grade a folder of these files, again and again; say what was graded."""

    def again(*words: str, status: int = 1, **files: str) -> list[str]:
        judged.clear()
        (tmp_path / "class").mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / "class" / f"{LAB}-{name}.py").write_text(text, "utf-8")
        command = [str(tmp_path / "class"), "--reports", str(tmp_path / "reports"), "--jobs", "1", *words]
        outcome = CliRunner().invoke(app, command)
        assert outcome.exit_code == status, outcome.output
        return sorted(name.removeprefix(f"{LAB}-") for name in judged)

    return again


def test_only_what_changed_is_graded(
    again: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert again(a="1", b="1") == ["a", "b"]
    assert again() == []
    assert again(b="2", c="3") == ["b", "c"]
    assert again("--seconds", "50") == ["a", "b", "c"]
    assert again("--seconds", "50") == []
    monkeypatch.setattr(ledger, "checks_version", lambda lab: "new")
    assert again("--seconds", "50") == ["a", "b", "c"]
    assert "→ GET /" in (tmp_path / "reports" / "learners" / "a.md").read_text("utf-8")


def test_outcome_that_cannot_be_read_is_graded_again(again: Callable[..., list[str]], tmp_path: Path) -> None:
    again(a="1")
    for spoilt in ("", "[]", '{"key": 1}'):
        (kept,) = (tmp_path / "reports" / ".graded").iterdir()
        kept.write_text(spoilt)
        assert again() == ["a"]


def test_interrupted_run_goes_on(again: Callable[..., list[str]]) -> None:
    assert again(a="1", b="interrupt", c="3", status=130)[:2] == ["a", "b"]
    # Whether c was begun before the interrupt came through is a matter of chance.
    assert again(b="2") in (["b", "c"], ["b"])
    assert again() == []


def test_grading_that_broke_is_not_kept(again: Callable[..., list[str]]) -> None:
    """The whole of it, or one check."""
    assert again(a="break", b="1", c="a check broke") == ["a", "b", "c"]
    assert again() == ["a", "c"]


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.timeout(90)
def test_interrupt_spoils_no_outcome(tmp_path: Path) -> None:
    """Neither of those that are graded at that moment nor of those that wait to be."""
    folder, kept = tmp_path / "class", tmp_path / "reports" / ".graded"
    folder.mkdir()
    write_notebook(folder / f"{LAB}-a.ipynb", honest_source())
    for learner in "bcdefghij":
        write_notebook(folder / f"{LAB}-{learner}.ipynb", *(5 * ["while True: pass"]))
    command = [sys.executable, "-m", "wirelab", "grade", str(folder), "--format", "json"]
    with subprocess.Popen([*command, "--reports", str(tmp_path / "reports")], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["score"] == 10
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    (one,) = kept.iterdir()
    assert json.loads(one.read_text("utf-8"))["submission"].endswith("-a.ipynb")


def test_closed_crew_judges_nobody() -> None:
    made = Crew(Limits())
    made.close()
    with pytest.raises(CrewError, match="the grading was ended"):
        batch.judge(Submission("a.py", LAB, source=honest_source()), LAB, made)


def test_crew_that_fails_once_is_the_graders_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It costs no points for good: the next call grades again."""

    def no_process(*, fresh: bool) -> Process:
        raise CrewError("there is no room")

    (tmp_path / f"{LAB}.py").write_text(honest_source(), "utf-8")
    with Crew(Limits()) as made:
        options = {"crew": made, "ledger": ledger.Ledger(tmp_path / "kept", Limits())}
        with monkeypatch.context() as patch:
            patch.setattr(made, "start", no_process)
            (report,) = batch.grade([tmp_path / f"{LAB}.py"], **options)
        assert report.error == "the grader itself failed: CrewError: there is no room"
        assert [report.score for report in batch.grade([tmp_path / f"{LAB}.py"], **options)] == [10]


def test_version_follows_the_checks_that_a_lab_uses() -> None:
    """Each lab's own, and not those of another."""
    versions = {lab: ledger.checks_version(lab) for lab in LABS}
    assert len(set(versions.values())) == len(LABS)
    source = Path(str(batch.__file__)).parents[1] / "checks" / "todo_api.py"
    used = ledger._imported(source.read_bytes(), "wirelab.checks.todo_api")
    assert {"wirelab.checks.exchange", "wirelab.checks.todo_service"} <= set(used)


@pytest.mark.parametrize(
    ("path", "learner"),
    [
        (f"class/ada/{LAB}.ipynb", "ada"),
        (f"class/ada/{LAB}/{LAB}.ipynb", "ada"),
        (f"class/{LAB}/ada.ipynb", "ada"),
        (f"class/{LAB}-ada.py", "ada"),
        (f"class/ada_{LAB}.py", "ada"),
        ("class/ada.ipynb", "ada"),
        ("class/ada/05_rest_in_practice-v2.ipynb", "ada"),
        ("single/bob.ipynb", "bob"),
        (f"class/{LAB}.ipynb", f"class/{LAB}.ipynb"),
    ],
)
def test_learners_name(path: str, learner: str) -> None:
    assert learner_of(Path(path), ["class", "single/bob.ipynb"], LABS) == learner


def test_no_two_learners_share_a_report() -> None:
    names = ["ada", "Ada", "ADA", "a/da", "a-da", "..", ".", "", "ä", "ö", "x" * 200, "x" * 201, "con"]
    files = [file_name(name).casefold() for name in names]
    assert len(set(files)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) for name in files)


def test_losses_tell_mistakes_apart() -> None:
    """By check and by what was expected, whatever the random values were."""

    def report(name: str, *results: Result) -> Report:
        return make_report(name, LAB, results)

    def wrong(check: str, expected: str) -> Result:
        return Result(check, False, 0.0, 0.5, f"Sent it; got 7; expected {expected}.", "")

    reports = [
        report("a", wrong("read.one", "200 OK with the id 17"), Result("ids.all", True, 1.0, 1.0, "", "")),
        report("b", wrong("read.one", "200 OK with the id 23")),
        report("c", wrong("read.one", "a JSON object")),
        report("d", Result("read.one", None, 0.0, 0.5, "Not attempted: nothing.", "")),
        report("e", Result("read.one", None, 0.0, 0.5, "Could not run: it died.", "")),
    ]
    lost = losses(reports)
    assert lost.exercises == {(LAB, "read"): {"wrong": 1.5, "not attempted": 0.5, "could not run": 0.5}}
    assert [(one.check, one.learners, one.points) for one in lost.mistakes] == [
        ("read.one", 2, 1.0),
        ("read.one", 1, 0.5),
    ]
    shown = picture(lost, len(reports))
    assert "read of lab 01 (2.5)" in shown.alt
    assert len(list(shown.values.rows)) == 3


def test_a_class_without_losses_has_a_picture(tmp_path: Path) -> None:
    report = make_report("a", LAB, [Result("read.one", True, 1.0, 1.0, "", "")])
    assert write_class(tmp_path, [report], []) == 1
    (alt,) = Page((tmp_path / "index.html").read_text("utf-8")).alts
    assert alt.startswith("Two empty bar charts")
    assert by_learner([report], [], LABS) == {"a": [report]}


@pytest.mark.parametrize("address", ["ray:tcp://127.0.0.1:1", "dask", "dask:", "dask:nonsense"])
def test_wrong_executor(address: str) -> None:
    outcome = CliRunner().invoke(app, [str(HONEST), "--lab", LAB, "--executor", address])
    assert outcome.exit_code == 2
    assert "wirelab grade: " in outcome.stderr


def test_reports_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = CliRunner().invoke(app, [str(HONEST), "--lab", LAB, "--reports", str(tmp_path / "file")])
    assert outcome.exit_code == 2
    assert "cannot write" in outcome.stderr


def test_what_is_kept_is_as_harmless_as_what_is_new(tmp_path: Path) -> None:
    """A file name may hold what no text can, and lines of its own."""
    name = "ada\udce9\n::error::x.py"
    submission, kept = Submission(name, LAB, source="app = 1"), ledger.Ledger(tmp_path, Limits())
    new = make_report(name, LAB, LABS[LAB].not_run("read", "no"), "broke", [("read", ["→ GET /"])])
    kept.keep(submission, LAB, new)
    assert kept.known(submission, LAB) == new
    assert "\n" not in new.submission.encode("utf-8").decode()


def test_limits_are_part_of_what_is_kept(tmp_path: Path) -> None:
    submission = Submission("a.py", LAB, source="app = 1")
    ledger.Ledger(tmp_path, Limits()).keep(submission, LAB, make_report("a.py", LAB, error="\N{SNOWMAN}"))
    again = ledger.Ledger(tmp_path, Limits()).known(submission, LAB)
    assert again == make_report("a.py", LAB, error="\N{SNOWMAN}")
    assert ledger.Ledger(tmp_path, Limits(wall=1)).known(submission, LAB) is None
