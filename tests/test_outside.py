"""A client in a process of its own times what it waits for, whatever this process does."""

from __future__ import annotations

import threading
from statistics import median

import pytest
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from wirelab import serve
from wirelab.outside import round_trips_from_outside


def test_it_times_each_answer() -> None:
    with serve("wirelab.apps.echo:app") as server:
        slow = round_trips_from_outside(server.http + "/report?work=0.05", 4)
        assert len(slow) == 4
        assert min(slow) >= 0.05
        assert median(round_trips_from_outside(server.http + "/echo?message=hello", 20)) < 0.05


def test_it_does_not_wait_for_this_interpreter() -> None:
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(1000))

    with (
        serve("wirelab.apps.echo:app", name="shared") as shared,
        serve("wirelab.apps.echo:app", name="apart", process=True) as apart,
    ):
        threading.Thread(target=compute, daemon=True).start()
        try:
            beside, away = (median(round_trips_from_outside(each.http + "/echo")) for each in (shared, apart))
        finally:
            over.set()
    assert away < beside / 2


def test_it_says_what_went_wrong() -> None:
    app = Starlette(routes=[Route("/", lambda request: StreamingResponse(iter([b"part"])))])
    with serve(app) as server, pytest.raises(RuntimeError, match="did not say how long"):
        round_trips_from_outside(server.http)
    with pytest.raises(RuntimeError, match="refused"):
        round_trips_from_outside(server.http)
