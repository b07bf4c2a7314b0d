"""A class of 300: what a submission costs in a small batch and in a large one, two workers, memory."""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import psutil
import pytest
from test_grader_speed import ROOT, nbgrader, run

from wirelab.grading import Crew, Limits, grade

LAB = "01_todo_api"
ANSWERS = ROOT / "tests" / "answers"
ATTACKS = ROOT / "tests" / "grading" / "attacks"
CLASS, SMALL = 300, 10
# Of the other labs, so many submissions each, because their checks take seconds.
OTHERS = {"02_price_stream": 8, "03_latency": 6, "04_staleness": 4, "05_rest_in_practice": 4}
HOSTILE = ("exits", "kills_its_group", "takes_memory")

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]


def of_lab_01(count: int, folder: Path) -> Path:
    """Equal submissions, so that they cost the same."""
    folder.mkdir(parents=True)
    for number in range(count):
        shutil.copy(ANSWERS / LAB / "right" / "bare_asgi.py", folder / f"{LAB}-learner{number:03}.py")
    return folder


def test_cost_is_flat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From 10 to 300 within 15 %; small batches before and after the large one."""
    small, large = of_lab_01(SMALL, tmp_path / "small"), of_lab_01(CLASS, tmp_path / "large")
    with Crew(Limits()) as crew:
        # Not the start: it is paid once.
        assert all(report.passed for report in grade([small], crew=crew))

        def cost(folder: Path, count: int) -> float:
            start = time.perf_counter()
            assert all(report.passed for report in grade([folder], crew=crew))
            return (time.perf_counter() - start) / count

        around = [cost(small, SMALL) for _ in range(5)]
        whole = cost(large, CLASS)
        around += [cost(small, SMALL) for _ in range(5)]
    ratio = whole / statistics.median(around)
    with capsys.disabled():
        print(f"\na submission: {1000 * statistics.median(around):.0f} ms of {SMALL}, ", end="")
        print(f"{1000 * whole:.0f} ms of {CLASS}: {ratio:.2f} times")
    assert ratio < 1.15


@pytest.fixture
def pools() -> Iterator[list[Executor]]:
    """One worker, and two."""
    made: list[Executor] = [ProcessPoolExecutor(count, mp_context=get_context("spawn")) for count in (1, 2)]
    yield made
    for pool in made:
        pool.shutdown()


def test_two_workers(tmp_path: Path, pools: list[Executor], capsys: pytest.CaptureFixture[str]) -> None:
    """At least 1.7 times as fast as one, on two cores that nobody else uses."""
    busy = psutil.cpu_percent(2.0) * psutil.cpu_count() / 100
    if psutil.cpu_count() - busy < 1.9:
        pytest.skip(f"others use {busy:.1f} of {psutil.cpu_count()} cores")
    folder = of_lab_01(40, tmp_path / "class")
    seconds: list[list[float]] = [[], []]
    for _ in range(3):
        for pool, times in zip(pools, seconds, strict=True):
            start = time.perf_counter()
            assert all(report.passed for report in grade([folder], executor=pool))
            times.append(time.perf_counter() - start)
    # The first of each has started the workers.
    one, two = (min(times[1:]) for times in seconds)
    with capsys.disabled():
        print(f"\none worker {one:.2f} s, two {two:.2f} s: {one / two:.2f} times")
    assert one >= 1.7 * two


def mixed_class(folder: Path) -> Path:
    """Right and wrong answers to several labs, broken files, hostile ones, untouched labs."""
    sources: list[tuple[str, Path]] = []
    for lab, count in OTHERS.items():
        answers = sorted((ANSWERS / lab).rglob("*.py"))
        sources += [(lab, answers[number % len(answers)]) for number in range(count)]
    sources += [(LAB, ATTACKS / f"{name}.py") for name in HOSTILE]
    answers = [ROOT / "labs" / f"{LAB}.ipynb", ROOT / "solutions" / f"{LAB}.ipynb", ROOT / "README.md"]
    answers += sorted((ANSWERS / LAB).rglob("*.py"))
    sources += [(LAB, answers[number % len(answers)]) for number in range(CLASS - len(sources))]
    for number, (lab, source) in enumerate(sources):
        place = folder / "submissions" / f"learner{number:03}"
        place.mkdir(parents=True)
        ending = source.suffix if source.suffix == ".py" else ".ipynb"
        shutil.copy(source, place / f"{lab}{ending}")
    return folder


def test_a_mixed_class_within_the_memory_of_nbgrader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The class, with reports, takes less than nbgrader for one submission; the same call again takes seconds."""
    program = nbgrader()
    course = mixed_class(tmp_path)
    solution = ROOT / "solutions" / f"{LAB}.ipynb"
    for place in ("source", "submitted/learner"):
        (course / place / LAB).mkdir(parents=True)
        shutil.copy(solution, course / place / LAB)
    (course / "nbgrader_config.py").write_text("get_config().CourseDirectory.course_id = 'benchmark'\n")
    run([program, "generate_assignment", LAB], course, lambda status: status == 0)
    theirs = run([program, "autograde", LAB], course, lambda status: status == 0)
    command = [sys.executable, "-m", "wirelab", "grade", "submissions", "--format", "csv"]
    command += ["--reports", "reports", "--output", "grades.csv", "--seconds", "60"]
    ours = run(command, course, lambda status: status == 1)
    again = run(command, course, lambda status: status == 1)
    with capsys.disabled():
        print(f"\n{CLASS} mixed: {ours.seconds:.0f} s, {ours.peak:.0f} MiB; again {again.seconds:.1f} s; ", end="")
        print(f"nbgrader, one submission: {theirs.peak:.0f} MiB")
    assert len(list((course / "reports" / "learners").glob("*.html"))) == CLASS
    assert ours.peak < theirs.peak
    assert again.seconds < ours.seconds / 4
