"""What went over an emulated network, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable

from ._recording import Recording


class Exchange:
    """What went over a link."""

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self._recordings = list(recordings)
