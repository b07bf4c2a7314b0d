"""How the tests are spread over processes, and that they can be interrupted."""

from __future__ import annotations

import re
import signal

import pytest
from xdist.scheduler import LoadScopeScheduling


def pytest_configure() -> None:
    """Let tests interrupt what they start: in a background job of a shell, all would ignore that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class ByLessonAndLab(LoadScopeScheduling):
    """Keeps the tests of a file or class together, a notebook's cells above all; tells lessons and labs apart."""

    def _split_scope(self, nodeid: str) -> str:
        name = re.search(r"\[(\d\d_[a-z0-9_]+)", nodeid)
        return super()._split_scope(nodeid) + (name[0] if name else "")


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByLessonAndLab:
    """Tell pytest-xdist which tests belong together."""
    return ByLessonAndLab(config, log)
