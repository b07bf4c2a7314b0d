"""A class of 300: what a submission costs in a small batch and in a large one, two workers, memory."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import psutil
import pytest
from lab_answers import source_of
from test_grader_speed import ROOT, Run, nbgrader, run

from wirelab.grading import Crew, Limits, grade

LAB = "01_todo_api"
ANSWERS = ROOT / "tests" / "answers"
ATTACKS = ROOT / "tests" / "grading" / "attacks"
CLASS, SMALL = 300, 10
# Of the other labs, so many submissions each, because their checks take seconds.
OTHERS = {"02_price_stream": 8, "03_latency": 6, "04_staleness": 4, "05_rest_in_practice": 4}
# None that takes memory: it gets as much as its limit says (tests/test_grading_attacks.py), whoever grades it.
HOSTILE = ("exits", "kills_its_group", "crashes_the_interpreter")

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


def hold_to_a_core(cores: Queue[int]) -> None:
    """Hold a worker, and all that it starts, to one core of its own."""
    os.sched_setaffinity(0, {cores.get()})


@contextmanager
def workers(count: int, *, held: bool) -> Iterator[Executor]:
    """A pool of processes that grade one submission each at a time."""
    context = get_context("spawn")
    cores: Queue[int] = context.Queue()
    for core in sorted(os.sched_getaffinity(0))[:count]:
        cores.put(core)
    options: dict[str, Any] = {"initializer": hold_to_a_core, "initargs": (cores,)} if held else {}
    with ProcessPoolExecutor(count, context, **options) as pool:
        yield pool


def gain_of_a_second(folder: Path, *, held: bool) -> tuple[float, float]:
    """Seconds for a class with one worker and with two; the smaller of two runs, after one that starts them."""
    seconds: list[list[float]] = [[], []]
    with workers(1, held=held) as one, workers(2, held=held) as two:
        for _ in range(3):
            for pool, times in zip((one, two), seconds, strict=True):
                start = time.perf_counter()
                assert all(report.passed for report in grade([folder], executor=pool))
                times.append(time.perf_counter() - start)
    return min(seconds[0][1:]), min(seconds[1][1:])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot hold a process to a core")
def test_two_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At least 1.7 times as fast as one, each held to a core of its own, on two cores that nobody else uses.

    Not held, one alone already keeps more than a core busy: its grader and the submission's processes overlap.
    """
    busy = psutil.cpu_percent(2.0) * psutil.cpu_count() / 100
    if psutil.cpu_count() - busy < 1.9:
        pytest.skip(f"others use {busy:.1f} of {psutil.cpu_count()} cores")
    folder = of_lab_01(40, tmp_path / "class")
    for held in (False, True):
        one, two = gain_of_a_second(folder, held=held)
        with capsys.disabled():
            print(
                f"\n{'held to a core each' if held else 'free'}: one worker {one:.2f} s, two {two:.2f} s, ", end=""
            )
            print(f"{one / two:.2f} times")
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
        (place / f"{lab}{ending}").write_text(source_of(source) if ending == ".py" else source.read_text("utf-8"))
    return folder


def test_a_mixed_class_within_the_memory_of_nbgrader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The class, with reports, takes less than nbgrader for one submission; the same call again takes seconds.

    One submission at a time, as nbgrader grades: by default there are more, and each has its processes.
    """
    program = nbgrader()
    course = mixed_class(tmp_path)
    solution = ROOT / "solutions" / f"{LAB}.ipynb"
    for place in ("source", "submitted/learner"):
        (course / place / LAB).mkdir(parents=True)
        shutil.copy(solution, course / place / LAB)
    (course / "nbgrader_config.py").write_text("get_config().CourseDirectory.course_id = 'benchmark'\n")
    run([program, "generate_assignment", LAB], course, lambda status: status == 0)
    theirs = run([program, "autograde", LAB], course, lambda status: status == 0)

    def ours(reports: str, *options: str) -> Run:
        command = [sys.executable, "-m", "wirelab", "grade", "submissions", "--format", "csv", "--seconds", "60"]
        return run([*command, "--reports", reports, *options], course, lambda status: status == 1)

    usual, again, one_at_a_time = ours("usual"), ours("usual"), ours("one", "--jobs", "1")
    with capsys.disabled():
        print(
            f"\n{CLASS} mixed: {usual.seconds:.0f} s, {usual.peak:.0f} MiB; again {again.seconds:.1f} s; ", end=""
        )
        print(f"one at a time {one_at_a_time.seconds:.0f} s, {one_at_a_time.peak:.0f} MiB; ", end="")
        print(f"nbgrader, one submission: {theirs.peak:.0f} MiB")
    for reports in ("usual", "one"):
        assert len(list((course / reports / "learners").glob("*.html"))) == CLASS
    assert one_at_a_time.peak < theirs.peak
    assert again.seconds < usual.seconds / 4
