"""How many submissions are graded at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wirelab.grading import admission
from wirelab.grading.admission import Admission, Load

DEADLINE = 10.0


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LOOK", 0.01)


@contextmanager
def crowd(count: int, door: Admission) -> Iterator[tuple[threading.Semaphore, threading.Event]]:
    """So many threads that want to begin; each tells when it does, and ends when it may."""
    begun, may_end = threading.Semaphore(0), threading.Event()

    def work() -> None:
        with door:
            begun.release()
            may_end.wait(DEADLINE)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield begun, may_end
    finally:
        may_end.set()
        for thread in threads:
            thread.join()


def test_all_begin_in_the_end_while_there_is_room() -> None:
    with crowd(8, Admission(2, load=lambda: 0.1)) as (begun, _):
        for _ in range(8):
            assert begun.acquire(timeout=DEADLINE)


def test_on_a_busy_machine_some_begin_and_the_others_when_one_ends() -> None:
    looks = threading.Semaphore(0)

    def full() -> float:
        looks.release()
        return 1.0

    with crowd(5, Admission(2, load=full)) as (begun, may_end):
        for _ in range(2):
            assert begun.acquire(timeout=DEADLINE)
        for _ in range(10):
            assert looks.acquire(timeout=DEADLINE)
        assert not begun.acquire(blocking=False)
        may_end.set()
        for _ in range(3):
            assert begun.acquire(timeout=DEADLINE)


def test_nobody_is_let_in_before_the_one_before_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LOOK", DEADLINE)
    with crowd(4, Admission(1, load=lambda: 0.0)) as (begun, _):
        assert begun.acquire(timeout=DEADLINE)
        assert not begun.acquire(timeout=0.2)


def test_load_is_a_share() -> None:
    load = Load()
    assert 0 <= load() <= 1
