"""Nothing that a submission does raises its score, stops a neighbour's grading or hangs the run."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from grading_support import ATTACKS, HONEST, LAB, SHORT, honest_source

from wirelab.grading import Crew, Report, grade
from wirelab.grading.sandbox import Isolation

NAMES = sorted(path.stem for path in ATTACKS.glob("*.py"))
# Those that namespaces hold, and nothing else does.
NEED_NAMESPACES = {"calls_a_neighbour", "copies_a_neighbour", "fork_bomb", "kills_its_parents", "reads_the_grader"}
# Those that limits and process groups hold as well.
SIMPLE = (
    "endless_loop",
    "exits",
    "kills_its_group",
    "leaves_a_daemon",
    "takes_memory",
    "takes_memory_by_children",
)
# So many honest submissions are graded among the attacks.
NEIGHBOURS = 6
# Seconds for the whole batch, on a machine that others use as well.
BATCH_DEADLINE = 100.0
MARKER = f"marker-{secrets.token_hex(8)}"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the attacks use what POSIX systems offer")


@dataclass
class Batch:
    """What grading attacks and their neighbours came to."""

    reports: dict[str, Report]
    isolation: Isolation
    seconds: float


def batch(folder: Path, names: list[str], crew: Crew) -> Batch:
    """Grade attacks in one batch with honest neighbours."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        files = []
        for number, name in enumerate(names):
            text = (ATTACKS / f"{name}.py").read_text("utf-8")
            text = text.replace("MARKER", MARKER).replace("THE NEIGHBOUR'S PATH", str(folder / "honest0.py"))
            text = text.replace("PORT = 0", f"PORT = {other.getsockname()[1]}")
            files.append(folder / f"{name}.py")
            files[-1].write_text(text, "utf-8")
            if number * NEIGHBOURS // len(names) < (number + 1) * NEIGHBOURS // len(names):
                files.append(folder / f"honest{number * NEIGHBOURS // len(names)}.py")
                files[-1].write_text(honest_source(), "utf-8")
        start = time.monotonic()
        reports = {Path(report.submission).stem: report for report in grade(files, LAB, crew=crew)}
        seconds = time.monotonic() - start
    assert crew.isolation
    return Batch(reports, Isolation[crew.isolation], seconds)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    """All attacks with the strongest isolation to be had."""
    os.environ["WIRELAB_TEST_SECRET"] = MARKER
    try:
        with Crew(SHORT) as crew:
            crew.prepare()
            # Where nothing would hold them, they are not let loose.
            held = [name for name in NAMES if crew.isolation == "NAMESPACES" or name not in NEED_NAMESPACES]
            yield batch(tmp_path_factory.mktemp("batch"), held, crew)
    finally:
        del os.environ["WIRELAB_TEST_SECRET"]


@pytest.fixture(scope="module", params=["USER", "LIMITS"])
def attacked_without_namespaces(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Batch]:
    """What weaker isolation holds."""
    if request.param == "USER" and not (os.geteuid() == 0 and others_can_read_python()):
        pytest.skip("needs root, and a Python that other users can read")
    with Crew(SHORT, isolation=request.param) as crew:
        yield batch(tmp_path_factory.mktemp("limits"), list(SIMPLE), crew)


def others_can_read_python() -> bool:
    """Whether every folder above Python and the kit lets other users pass."""
    folders = [folder for path in (sys.base_prefix, sys.prefix, __file__) for folder in Path(path).parents]
    return all(folder.stat().st_mode & 0o001 for folder in folders)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", NAMES)
def test_attack_earns_nothing(attacked: Batch, name: str) -> None:
    if name in NEED_NAMESPACES and attacked.isolation is not Isolation.NAMESPACES:
        pytest.skip(f"{name} is held by namespaces, which this system does not have")
    report = attacked.reports[name]
    assert report.score == 0
    assert report.max_score == 10
    assert len(report.results) == len({result.id for result in report.results}) == 19
    assert "LOOT" not in (report.error or "")


def test_neighbours_are_graded(attacked: Batch) -> None:
    scores = {name: report.score for name, report in attacked.reports.items() if name.startswith("honest")}
    assert scores == {f"honest{number}": 10 for number in range(NEIGHBOURS)}


def test_batch_ends(attacked: Batch) -> None:
    assert attacked.seconds < BATCH_DEADLINE


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exits", "ended itself with exit status 0"),
        ("kills_its_group", "SIGKILL"),
        ("crashes_the_interpreter", "SIGSEGV"),
        ("slow_import_of_itself", "still running after 2 s"),
    ],
)
def test_report_says_what_ended_it(attacked: Batch, name: str, reason: str) -> None:
    assert {reason in result.message for result in attacked.reports[name].results} == {True}


def test_nothing_is_left(attacked: Batch, attacked_without_namespaces: Batch) -> None:
    """Not even a program that left its process group and session, twice forked."""
    deadline = time.monotonic() + 5
    while (left := _marked()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _marked() -> list[int]:
    running = psutil.process_iter(["cmdline"])
    return [process.pid for process in running if MARKER in (process.info["cmdline"] or [])]


@pytest.mark.timeout(180)
def test_limits_alone_hold_the_simple_ones(attacked_without_namespaces: Batch) -> None:
    scores = {name: report.score for name, report in attacked_without_namespaces.reports.items()}
    assert attacked_without_namespaces.isolation is not Isolation.NAMESPACES
    assert {name: scores[name] for name in SIMPLE} == dict.fromkeys(SIMPLE, 0)
    assert {score for name, score in scores.items() if name.startswith("honest")} == {10}


def test_crew_survives_the_loss_of_its_clean_process(tmp_path: Path) -> None:
    """A submission that could reach the clean process costs one start, no grade."""
    with Crew(SHORT) as crew:
        crew.prepare()
        ours = psutil.Process().children(recursive=True)
        clean = next(process for process in ours if "wirelab.grading.zygote" in process.cmdline())
        clean.kill()
        clean.wait(5)
        assert [report.score for report in grade([HONEST], LAB, crew=crew)] == [10]


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_isolation_is_said() -> None:
    """Which isolation is in force is known, and why it is no stronger one."""
    with Crew(SHORT) as crew:
        crew.prepare()
        assert crew.isolation in Isolation.__members__
        assert bool(crew.reason) == (crew.isolation != "NAMESPACES")
