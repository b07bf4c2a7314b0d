"""What the checks sent and received, for people to read, whether they play the client or the server.

HTTP comes from the checks' own client and servers, WebSocket from its library. It is written in the checks' own
process as they talk, so a learner's process has no part in it; and only where somebody asks for it: `recording` is
entered around the checks of one exercise.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from asyncio import CancelledError
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus

from websockets.frames import Frame, Opcode

# Lines that are kept of one exercise, and characters of a line.
LINES_KEPT, LINE_LENGTH = 200, 300
# Where the websockets library says what it sends (">") and receives ("<"), when somebody listens.
WEBSOCKET_LOGGERS = ("websockets.client", "websockets.server")
# What the checks sent, what they received, and that something failed or was made to fail.
SENT, RECEIVED, FAILED = "→", "←", "✕"
ARROWS = {"> ": SENT, "< ": RECEIVED}
# What stands in front of a transcript, for whoever reads it.
LEGEND = (
    f"{SENT} is what the check sent, {RECEIVED} what came from the submission, {FAILED} what failed or was cut "
    "off. Each line has the milliseconds since the exercise began and, where there are several connections, the "
    "number of its own."
)
# Header fields that say nothing about a submission.
LEFT_OUT = {
    "accept-encoding",
    "date",
    "host",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "server",
    "user-agent",
}
# A header field, or the body's length, as the websockets library tells it; a frame has a blank before any colon.
FIELD = re.compile(r"([^\s:]+): |\[body\] ")

_current: ContextVar[Transcript | None] = ContextVar("transcript", default=None)


@dataclass
class Line:
    """One line: seconds since the beginning, the connection's number from 1 on (0 is unknown), and a text."""

    at: float
    connection: int
    text: str


class Transcript:
    """The lines of one exercise.

    Where a method takes a `connection`, that is anything that is the same for one connection and for no other.

    Attributes:
        lines: what is kept.
        left_out: how many lines there were beyond those.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.left_out = 0
        self._begun = time.monotonic()
        self._connections: dict[Hashable, int] = {}

    def add(self, text: str, connection: Hashable = None) -> None:
        """Add a line."""
        if len(self.lines) >= LINES_KEPT:
            self.left_out += 1
            return
        known = connection is not None
        number = self._connections.setdefault(connection, len(self._connections) + 1) if known else 0
        self.lines.append(Line(time.monotonic() - self._begun, number, _one_line(text)))

    def add_field(self, arrow: str, field: str, connection: Hashable) -> None:
        """Add a field to the first line of a header, which is the last line."""
        last = self.lines[-1] if self.lines else None
        # What is no longer kept has no line.
        if last and last.connection == self._connections.get(connection, 0) and last.text.startswith(arrow):
            last.text = _one_line(f"{last.text} | {field}")

    def request(self, method: str, target: str, headers: Mapping[str, str], content: bytes | None) -> None:
        """Add what an HTTP client sends: its line, the fields that matter, its body."""
        self.add(_joined(SENT, f"{method} {target}", headers.items(), content))

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Add what came back."""
        first = str(status)
        with contextlib.suppress(ValueError):
            first += f" {HTTPStatus(status).phrase}"
        self.add(_joined(RECEIVED, first, headers.items(), body))

    def message(self, arrow: str, message: bytes, connection: Hashable) -> None:
        """Add what an HTTP server got or gave, as it is on the wire.

        Args:
            arrow: which of the two it was.
            message: a header and what there is of a body behind it; or more of the body.
            connection: what it came or went over.
        """
        head, _, body = message[: 4 * LINE_LENGTH].partition(b"\r\n\r\n")
        first, *fields = head.decode("latin-1").split("\r\n")
        self.add(_joined(arrow, first, (field.partition(": ")[::2] for field in fields), body), connection)

    def fault(self, fault: BaseException) -> None:
        """Add that nothing whole came back."""
        if isinstance(fault, CancelledError):
            self.add(f"{FAILED} given up, because the time for it was over")
        else:
            self.add(f"{FAILED} {type(fault).__name__}" + f": {fault}" * bool(str(fault)))

    def texts(self) -> tuple[str, ...]:
        """The lines as they are shown: times in milliseconds in front, and the connection if there are several."""
        several = len(self._connections) > 1
        numbers = [f"#{line.connection}" if several and line.connection else "" for line in self.lines]
        width = len(f"#{len(self._connections)} ") if several else 0
        shown = [
            f"{1000 * line.at:8.1f} ms  {number:{width}}{line.text}"
            for line, number in zip(self.lines, numbers, strict=True)
        ]
        return (*shown, f"… and {self.left_out} more lines") if self.left_out else tuple(shown)


def _joined(arrow: str, first: str, headers: Iterable[tuple[str, str]], body: bytes | None) -> str:
    fields = [f"{name}: {value}" for name, value in headers if name.lower() not in LEFT_OUT]
    text = (body or b"")[: 4 * LINE_LENGTH].decode("utf-8", "replace")
    return " | ".join([f"{arrow} {first}", *fields, *([text] if text else [])])


def _one_line(text: str) -> str:
    line = " ".join(text[: 4 * LINE_LENGTH].split())
    return line if len(line) <= LINE_LENGTH else line[: LINE_LENGTH - 1] + "…"


def current() -> Transcript | None:
    """The transcript of the exercise that this task judges, if one is being written."""
    return _current.get()


def note(text: str, connection: Hashable = None) -> None:
    """Add a line to the transcript of the exercise that this task judges, if one is being written."""
    if transcript := current():
        transcript.add(text, connection)


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
    """Takes the frames and the header of the handshake; the connection's own states stay out."""

    def emit(self, record: logging.LogRecord) -> None:
        transcript = _current.get()
        if transcript:
            with contextlib.suppress(Exception):
                self._add_to(transcript, record)

    def _add_to(self, transcript: Transcript, record: logging.LogRecord) -> None:
        arrow = ARROWS.get(record.msg[:2])
        if arrow is None:
            return
        connection = getattr(getattr(record, "websocket", None), "id", None)
        match record.args:
            case (Frame() as frame,):
                transcript.add(f"{arrow} {_told(frame)}", connection)
                return
        text = record.getMessage()[2:]
        if field := FIELD.match(text):
            if str(field[1]).lower() not in LEFT_OUT:
                transcript.add_field(arrow, text, connection)
        else:
            transcript.add(f"{arrow} {text}", connection)


def _told(frame: Frame) -> str:
    """A frame in words. The library would leave out the middle of a long text, and escape what is in it."""
    if frame.opcode is not Opcode.TEXT:
        return str(frame)
    text = bytes(frame.data[: 4 * LINE_LENGTH]).decode("utf-8", "replace")
    size = f"[{len(frame.data)} byte{'s' * (len(frame.data) != 1)}{', continued' * (not frame.fin)}]"
    return f"TEXT {size} {text}"


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
