"""Waits of others, checked against a server that freezes on purpose."""

from __future__ import annotations

import time

import httpx2
import numpy as np
import pytest

from wirelab import serve
from wirelab.waits import waits_while

FREEZE = 0.3


def test_everybody_due_in_a_freeze_waits_for_its_end() -> None:
    with serve("wirelab.apps.echo:app", process=True) as server:
        freeze = f"{server.http}/freeze?seconds={FREEZE}"
        due, waited = waits_while(server.http + "/echo", lambda: httpx2.get(freeze, trust_env=False, timeout=10))
    assert (np.diff(due) > 0).all()
    assert waited.max() > FREEZE / 2
    # Those due while it was frozen are counted one by one: none stood aside.
    assert np.count_nonzero(waited > FREEZE / 4) > 5


def test_it_ends_where_every_answer_takes_longer_than_a_beat() -> None:
    with serve("wirelab.apps.echo:app") as server:
        slow = server.http + "/report?work=0.03"
        due, waited = waits_while(slow, lambda: time.sleep(0.2), every=0.01)
    assert due.max() < 1
    assert waited[-1] > waited[0]


def test_what_the_work_raised_is_raised() -> None:
    def fail() -> None:
        raise RuntimeError("no work")

    with serve("wirelab.apps.echo:app") as server, pytest.raises(RuntimeError, match="no work"):
        waits_while(server.http + "/echo", fail)
