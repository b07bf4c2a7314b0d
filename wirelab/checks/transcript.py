"""What the checks sent and received, for the learner to read: HTTP from their client, WebSocket from its library.

It is written in the checks' own process as they talk, so a learner's process has no part in it; and only where
somebody asks for it: `recording` is entered around the checks of one exercise.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from http import HTTPStatus

# Lines that are kept of one exercise, and characters of a line.
LINES_KEPT, LINE_LENGTH = 200, 300
# Where the websockets library says what it sends (">") and receives ("<"), when somebody listens.
WEBSOCKET_LOGGERS = ("websockets.client", "websockets.server")
ARROWS = {">": "→", "<": "←"}

_current: ContextVar[Transcript | None] = ContextVar("transcript", default=None)


class Transcript:
    """The lines of one exercise, each with its time.

    Attributes:
        lines: seconds since the beginning, and a text in one line.
        left_out: how many lines there were beyond those that are kept.
    """

    def __init__(self) -> None:
        self.lines: list[tuple[float, str]] = []
        self.left_out = 0
        self._begun = time.monotonic()

    def add(self, text: str) -> None:
        """Add a line."""
        if len(self.lines) >= LINES_KEPT:
            self.left_out += 1
            return
        line = " ".join(text[: 4 * LINE_LENGTH].split())
        self.lines.append((time.monotonic() - self._begun, _shortened(line)))

    def request(self, method: str, target: str, headers: Mapping[str, str], content: bytes | None) -> None:
        """Add what an HTTP client sends: its line, the fields that matter, its body."""
        self.add(_joined(f"→ {method} {target}", headers, content))

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Add what came back."""
        with contextlib.suppress(ValueError):
            self.add(_joined(f"← {status} {HTTPStatus(status).phrase}", headers, body))
            return
        self.add(_joined(f"← {status}", headers, body))

    def fault(self, fault: BaseException) -> None:
        """Add that nothing whole came back."""
        self.add(f"✕ {type(fault).__name__} {fault}")

    def texts(self) -> tuple[str, ...]:
        """The lines as they are shown: times in milliseconds in front."""
        shown = [f"{1000 * seconds:8.1f} ms  {line}" for seconds, line in self.lines]
        return (*shown, f"… and {self.left_out} more") if self.left_out else tuple(shown)


def _joined(first: str, headers: Mapping[str, str], body: bytes | None) -> str:
    fields = [f"{name}: {value}" for name, value in headers.items() if name not in ("date", "server")]
    text = (body or b"")[: 4 * LINE_LENGTH].decode("utf-8", "replace")
    return " | ".join([first, *fields, *([text] if text else [])])


def _shortened(line: str) -> str:
    return line if len(line) <= LINE_LENGTH else line[: LINE_LENGTH - 1] + "…"


def current() -> Transcript | None:
    """The transcript of the exercise that this task judges, if one is being written."""
    return _current.get()


@contextlib.contextmanager
def recording() -> Iterator[Transcript]:
    """Write a transcript of what this task, and all that it starts, sends and receives."""
    with _listening_to_websockets():
        transcript = Transcript()
        token = _current.set(transcript)
        try:
            yield transcript
        finally:
            _current.reset(token)


class _FromWebSockets(logging.Handler):
    """Takes the frames and the lines of the handshake; the connection's own states stay out."""

    def emit(self, record: logging.LogRecord) -> None:
        transcript = _current.get()
        if transcript:
            with contextlib.suppress(Exception):
                text = record.getMessage()
                if text[:2] in ("> ", "< "):
                    transcript.add(f"{ARROWS[text[0]]} {text[2:]}")


_listeners = 0
_lock = threading.Lock()
_handler = _FromWebSockets(logging.DEBUG)


@contextlib.contextmanager
def _listening_to_websockets() -> Iterator[None]:
    """Have the library tell what it does while at least one transcript is written; then as before."""
    _change_listeners(+1)
    try:
        yield
    finally:
        _change_listeners(-1)


def _change_listeners(step: int) -> None:
    global _listeners
    with _lock:
        before, _listeners = _listeners, _listeners + step
        for name in WEBSOCKET_LOGGERS:
            logger = logging.getLogger(name)
            if before == 0:
                logger.addHandler(_handler)
                logger.setLevel(logging.DEBUG)
            elif _listeners == 0:
                logger.removeHandler(_handler)
                logger.setLevel(logging.NOTSET)
