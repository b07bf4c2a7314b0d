"""The grader beside `nbgrader autograde`, on the same submissions in the same run.

nbgrader is found where this Python finds it, or by ``WIRELAB_NBGRADER``, the path of its program: the environment
of that program needs the kit as well, because the labs import it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
LAB = "01_todo_api"
BATCH = 40
# Seconds between two looks at the memory, and between those where the time counts: a look takes time as well.
LOOK, RARE_LOOK = 0.1, 2.0

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]


@dataclass
class Run:
    """Seconds and peak memory (proportional set size of the whole process tree, in MiB) of one command."""

    seconds: float
    peak: float


def run(command: Sequence[str], folder: Path, good: Callable[[int], bool], look: float = LOOK) -> Run:
    """Run a command and watch its memory."""
    start = time.perf_counter()
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    peak = 0.0
    watching = threading.Event()

    def watch() -> None:
        nonlocal peak
        root = psutil.Process(process.pid)
        while not watching.wait(look):
            peak = max(peak, memory(root))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - start
    watching.set()
    watcher.join()
    assert good(process.returncode), output.decode()[-3000:]
    return Run(seconds, peak)


def memory(root: psutil.Process) -> float:
    """Memory of a process and all below it; what they share counts once."""
    total = 0
    try:
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for process in tree:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**20


def nbgrader() -> str:
    """The program, or a skip with the reason."""
    program = os.environ.get("WIRELAB_NBGRADER") or shutil.which("nbgrader", path=str(Path(sys.executable).parent))
    if not program:
        pytest.skip("nbgrader is not installed beside this Python, and WIRELAB_NBGRADER names no other")
    return program


def class_of(count: int, folder: Path) -> Path:
    """Submissions of a class in the order of folders that nbgrader wants."""
    for number in range(count):
        place = folder / "submitted" / f"learner{number:03}" / LAB
        place.mkdir(parents=True)
        shutil.copy(ROOT / "solutions" / f"{LAB}.ipynb", place)
    return folder


def grade(folder: Path, look: float = RARE_LOOK) -> Run:
    """Our own grader on a class."""
    command = [sys.executable, "-m", "wirelab", "grade", "submitted", "--format", "csv"]
    return run(command, folder, lambda status: status == 0, look)


def test_faster_and_smaller_than_nbgrader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At least 15 times nbgrader's submissions a minute, start-up included; peak memory below nbgrader's."""
    program = nbgrader()
    course = class_of(BATCH, tmp_path)
    source = course / "source" / LAB
    source.mkdir(parents=True)
    shutil.copy(ROOT / "solutions" / f"{LAB}.ipynb", source)
    (course / "nbgrader_config.py").write_text("get_config().CourseDirectory.course_id = 'benchmark'\n")
    run([program, "generate_assignment", LAB], course, lambda status: status == 0)
    ours = [grade(course)]
    theirs = run([program, "autograde", LAB], course, lambda status: status == 0, RARE_LOOK)
    ours.append(grade(course))
    peak = grade(course, LOOK).peak
    seconds = sum(one.seconds for one in ours) / len(ours)
    with capsys.disabled():
        print(f"\n{BATCH} submissions: wirelab {seconds:.2f} s, nbgrader {theirs.seconds:.1f} s: ", end="")
        print(f"{theirs.seconds / seconds:.1f} times; peak {peak:.0f} and {theirs.peak:.0f} MiB")
    assert theirs.seconds >= 15 * seconds
    assert peak < theirs.peak


def test_twice_the_batch_costs_twice_the_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At most 2.1 times; the smallest of interleaved runs, because others use the machine."""
    small, large = class_of(BATCH, tmp_path / "small"), class_of(2 * BATCH, tmp_path / "large")
    runs = [(grade(small).seconds, grade(large).seconds) for _ in range(3)]
    once, twice = (min(column) for column in zip(*runs, strict=True))
    with capsys.disabled():
        print(f"\n{BATCH}: {once:.2f} s, {2 * BATCH}: {twice:.2f} s: {twice / once:.2f} times")
    assert twice <= 2.1 * once
