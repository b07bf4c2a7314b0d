"""What holds a submission: deadlines of messages and processes, users, the part of the file tree that it sees."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from wirelab.grading import Crew, CrewError, Limits, crew, sandbox, zygote
from wirelab.grading.channel import HEADER, Channel
from wirelab.grading.sandbox import Isolation, Sandbox, descendants, memory_of, visible_paths

posix_only = pytest.mark.skipif(os.name != "posix", reason="of processes as POSIX systems have them")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="of Linux")


def test_deadline_holds_for_the_whole_message() -> None:
    """Not for each byte: one that comes now and then would hold the grader for as long as it likes."""
    ours, theirs = socket.socketpair()
    over = threading.Event()

    def trickle() -> None:
        theirs.sendall(HEADER.pack(1000, 0))
        while not over.wait(0.05):
            theirs.sendall(b" ")

    with ours, theirs:
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            ours.settimeout(0.3)
            begin = time.monotonic()
            with pytest.raises(TimeoutError, match=r"not whole within 0\.3 s"):
                Channel(ours).receive()
            assert time.monotonic() - begin < 5
            assert ours.gettimeout() == 0.3
        finally:
            over.set()
            thread.join()


@pytest.fixture
def program() -> Iterator[psutil.Process]:
    """A process with a child."""
    text = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        tree = psutil.Process(process.pid)
        (child,) = tree.children()
        yield tree
        child.kill()
        process.stdin.close()


@linux_only
def test_supervisor_ends_what_outlasts_the_limit(program: psutil.Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever holds the grader up."""
    monkeypatch.setattr(zygote, "WALL_GRACE", 0.2)
    monkeypatch.setattr(zygote, "descendants", lambda pid: [])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watched = zygote.Supervisor(Sandbox(Isolation.LIMITS, Limits(wall=0.1)), Channel(ours), program.pid)
        assert watched.watch() == "it was still there after 0.1 s"


@posix_only
def test_processes_are_found_without_proc(program: psutil.Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.setattr(sandbox, "_has_proc", lambda: False)
    (child,) = program.children()
    assert descendants(program.pid) == [child.pid]
    assert all(size > 0 for size in memory_of([program.pid, child.pid]))
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert list(memory_of([gone.pid])) == descendants(gone.pid) == []


@linux_only
def test_end_reaches_what_has_left_the_tree_but_not_the_group() -> None:
    """Where nobody adopts orphans they are nobody's descendants."""
    text = (
        "import os, sys; from wirelab.grading.sandbox import *; from wirelab.grading import Limits\n"
        "if not (pid := os.fork()):\n"
        "    os.setsid()\n"
        "    if orphan := os.fork(): print(orphan, flush=True); os._exit(0)\n"
        "    os.closerange(1, 3); os.execlp('sleep', 'sleep', '60')\n"
        "os.waitpid(pid, 0); Sandbox(Isolation.LIMITS, Limits()).end(pid)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True)
    orphan = int(done.stdout)
    deadline = time.monotonic() + 5
    while _runs(orphan) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(orphan)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux")
def test_no_two_submissions_have_one_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whichever process they are made: also in one whose number gives the same first choice."""
    made = [Sandbox(Isolation.USER, Limits()) for _ in range(3)]
    if made[0].user is None:
        pytest.skip("this root has no other users")
    users = {one.user for one in made}
    assert len(users) == 3
    del made
    assert Sandbox(Isolation.USER, Limits()).user in users


@linux_only
def test_checkout_and_class_beside_the_systems_programs_are_out_of_sight() -> None:
    for hidden in ("/usr/src/app/solutions", "/usr/app/submissions", "/usr/local/src/app", "/usr/local/app"):
        assert not any(Path(hidden).is_relative_to(path) for path in visible_paths())


@posix_only
def test_clean_process_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with Crew(Limits()) as made:
        before = set(psutil.Process().children())
        with monkeypatch.context() as patch:
            patch.setattr(crew, "START_DEADLINE", 0.001)
            with pytest.raises(CrewError, match="did not start"):
                made.prepare()
        assert set(psutil.Process().children()) <= before
        made.prepare()
        assert made.isolation in Isolation.__members__


@pytest.mark.parametrize("fork", [pytest.param(True, marks=posix_only), False])
def test_closed_crew_starts_nothing(fork: bool) -> None:
    made = Crew(Limits(), fork=fork)
    made.close()
    for begin in (made.prepare, made.start):
        with pytest.raises(CrewError, match="the grading was ended"):
            begin()


def test_without_fork_it_is_said_that_nothing_is_limited() -> None:
    with Crew(Limits(), fork=False) as made:
        assert made.isolation == "PROCESSES"
        assert made.reason == "no fork"
