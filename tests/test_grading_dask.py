"""A class on Dask's workers: one of two is killed in the middle, and every submission is graded all the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from grading_support import LAB, SHORT, TESTS, honest_source

from wirelab.grading import Ledger, grade

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install -e .[dask]")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills a process")

WRONG = TESTS / "answers" / LAB / "wrong" / "ids_by_counting.py"
CLASS = 10


@pytest.mark.timeout(150)
def test_every_submission_once_although_a_worker_dies(tmp_path: Path) -> None:
    for number in range(CLASS):
        text = honest_source() if number % 2 else WRONG.read_text("utf-8")
        (tmp_path / f"{LAB}-learner{number}.py").write_text(text, "utf-8")
    graded = 0
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options, local_directory=str(tmp_path / "dask")) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        assert len(set(pids)) == 2
        killed = []

        def one_more() -> None:
            nonlocal graded
            graded += 1
            if graded == 2:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        ledger = Ledger(tmp_path / "kept", SHORT)
        reports = list(
            grade([tmp_path], executor=client.get_executor(), limits=SHORT, graded=one_more, ledger=ledger)
        )
    assert killed
    assert [(Path(report.submission).stem, report.score) for report in reports] == [
        (f"{LAB}-learner{number}", 10 if number % 2 else 9) for number in range(CLASS)
    ]
    assert graded == len(list((tmp_path / "kept").iterdir())) == CLASS
    assert all(report.transcripts for report in reports)
