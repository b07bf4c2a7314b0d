"""Servers that a check plays to a learner's stopwatch: each answer waits for a time that nobody can guess.

What a stopwatch may say follows from what its server saw. Its clock for one question starts no earlier than the
answer before that was there, and stops no later than the next question is sent; in between lies the time for which
the server kept the answer back. All of it is read from `time.perf_counter` here: both bounds hold for every right
stopwatch, however busy the machine is.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import math
import secrets
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, cast

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from wirelab.checks import CannotJudge, Failed, RemoteError, Target
from wirelab.checks.evidence import News, Subject, at_once
from wirelab.checks.exchange import as_json, shown
from wirelab.checks.transcript import FAILED, RECEIVED, SENT, current, note
from wirelab.checks.websocket_server import played

# Seconds for which the server keeps an answer back, or one half of it.
HOLDS = 0.005, 0.040
# Seconds until the client's first move, and until each later one.
FIRST_DEADLINE, STEP_DEADLINE = 8.0, 4.0
# Seconds that a duration may be off its bounds: other clocks than `perf_counter` run a little slower or faster.
TICK = 0.0002
# Seconds by which the least of all durations may be longer than its answer took.
TOLERATED_EXCESS = 0.05
# Questions in one call that the server takes, and bytes of the longest request or message.
FLOOD, LONGEST = 2000, 65_536
# Seconds between two looks at whether a packet was lost.
GLANCE = 0.005
# Linux's numbers for them (asm-generic/socket.h), which Python has no names for; the last is a place in an answer.
SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_MEMINFO, SK_MEMINFO_DROPS = 26, 27, 55, 8


@dataclass(frozen=True)
class Stopwatch:
    """A deliverable that takes times, and the words for what it does.

    Attributes:
        function: its name.
        address: the name of its first argument.
        scheme: of that address.
        question: what it sends.
        connection: what it sends that on.
        server: serves one run of it on a socket.
    """

    function: str
    address: str
    scheme: str
    question: str
    connection: str
    server: Callable[[Run, socket.socket], AbstractAsyncContextManager[None]]


@dataclass(eq=False)
class Question:
    """A request or a message, and when it was answered; times in `perf_counter` seconds.

    Attributes:
        connection: the number of its connection, from 1 on.
        text: the request line without the version, or the message.
        received_at: when it was there.
        overlapping: whether another one was still waiting for its answer.
        ended_at: just before the last byte of its answer was sent, or when the client hung up before that;
            infinite as long as neither has happened.
        answered: whether the whole answer was sent.
    """

    connection: int
    text: str
    received_at: float
    overlapping: bool
    ended_at: float = math.inf
    answered: bool = False


class Run:
    """One call of a deliverable: what its server saw, and what it returned.

    Attributes:
        n: the number of durations that it was asked for.
        path: what the address ends in.
        openings: when each connection was opened, as far as the server can tell.
        questions: in the order in which they came.
        binary: whether there was a message that is no text.
        lost_at: when the first packet of the first connection was found to be lost; None if none was.
        result: what it returned.
        error: what it raised instead.
        patience: for how many seconds it had done nothing when it was given up; None if it was not.
    """

    def __init__(self, stopwatch: Stopwatch, n: int) -> None:
        """Nothing has happened yet."""
        self.n = n
        self.path = f"/{secrets.token_hex(4)}"
        self.openings: list[float] = []
        self.questions: list[Question] = []
        self.binary = False
        self.lost_at: float | None = None
        self.result: Any = None
        self.error: RemoteError | None = None
        self.patience: float | None = None
        self._stopwatch = stopwatch
        self._news = News()
        self._moves = 0
        self._called_at = time.perf_counter()
        self._returned_at: float | None = None

    async def call(self, target: Target, port: int) -> None:
        """Call the deliverable and wait until it has returned, or does nothing any more."""
        address = f"{self._stopwatch.scheme}://127.0.0.1:{port}{self.path}"
        calling = asyncio.ensure_future(target.call(self._stopwatch.function, address, self.n))
        calling.add_done_callback(lambda _: self.moved())
        patience = FIRST_DEADLINE
        try:
            while not calling.done():
                moves = self._moves
                if not await self._news.until(partial(self._has_moved_since, moves), patience):
                    self.patience = patience
                    return
                patience = STEP_DEADLINE
            self._returned_at = time.perf_counter()
            self.result = await calling
        except RemoteError as error:
            self.error = error
        finally:
            calling.cancel()

    def moved(self) -> None:
        """Something has happened."""
        self._moves += 1
        self._news.tell()

    def _has_moved_since(self, moves: int) -> bool:
        return self._moves > moves

    @property
    def over(self) -> bool:
        """Whether the call has returned or was given up."""
        return self._returned_at is not None or self.patience is not None

    def opened(self) -> int:
        """Note a connection, and number it."""
        self.openings.append(time.perf_counter())
        self.moved()
        return len(self.openings)

    def asked(self, connection: int, text: str) -> Question:
        """Note a question."""
        overlapping = any(math.isinf(question.ended_at) for question in self.questions)
        question = Question(connection, text, time.perf_counter(), overlapping)
        self.questions.append(question)
        self.moved()
        return question

    def ended(self, question: Question, *, answered: bool) -> None:
        """Note that the last byte of an answer is about to be sent, or that nobody waits for it any more."""
        question.ended_at, question.answered = time.perf_counter(), answered
        self.moved()

    @property
    def last(self) -> list[Question]:
        """The last n questions."""
        return self.questions[-self.n :]

    @property
    def floods(self) -> bool:
        """Whether there are more questions than anybody needs."""
        return len(self.questions) > FLOOD

    @property
    def overlaps(self) -> bool:
        """Whether a question came before the one ahead of it had its answer."""
        return any(question.overlapping for question in self.questions)

    @property
    def numbers(self) -> list[float]:
        """What it returned, if that is a row of numbers; or else nothing."""
        row = self.result if isinstance(self.result, list) else []
        return row if all(map(is_number, row)) else []

    @property
    def held(self) -> list[float]:
        """The seconds for which each answer was kept back."""
        return [question.ended_at - question.received_at for question in self.questions]

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """The least and the most seconds that a right stopwatch can show for each question."""
        assert self._returned_at is not None
        starts = [self._called_at, *(question.ended_at for question in self.questions)]
        ends = [*(question.received_at for question in self.questions[1:]), self._returned_at]
        return [(held, end - start) for held, start, end in zip(self.held, starts, ends, strict=False)]

    @property
    def told(self) -> str:
        """The call in words, and what it sent."""
        words = self._stopwatch
        sent, opened = counted(len(self.questions), words.question), counted(len(self.openings), words.connection)
        return f"Called {words.function}({words.address}, {self.n}), which sent {sent} on {opened}"

    @property
    def got(self) -> str:
        """What became of the call, in words."""
        if self.error:
            return f"{shown(str(self.error))}"
        if self.patience is not None:
            return f"no result, and nothing for {self.patience:g} seconds"
        return f"{milliseconds(self.numbers)} ms" if self.numbers else as_json(self.result)

    def fail(self, expected: str) -> NoReturn:
        """Raise `Failed`."""
        raise Failed(f"{self.told}; got {self.got}; expected {expected}.")

    def need_result(self) -> None:
        """Raise `CannotJudge` if the call sent nothing or has not returned."""
        if self.error or self.patience is not None or not self.questions:
            needed = f"a call that sends a {self._stopwatch.question} and returns"
            raise CannotJudge(f"this needs {needed}. {self.told}; got {self.got}.")


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def counted(count: int, noun: str) -> str:
    """A number with its noun: ``no request``, ``1 request``, ``6 requests``."""
    return f"{count or 'no'} {noun}{'s' * (count > 1)}"


def milliseconds(seconds: Sequence[float]) -> str:
    """Durations as a person reads them, ``12.3, 8.9, 30.1``; the first ten."""
    return ", ".join(f"{1000 * value:.1f}" for value in seconds[:10]) + ", …" * (len(seconds) > 10)


def hold() -> float:
    """Draw the seconds for which an answer is kept back."""
    return secrets.SystemRandom().uniform(*HOLDS)


class HttpConnection(asyncio.Protocol):
    """A connection over which HTTP/1.1 comes in (RFC 9112), for as long as the client likes.

    Args:
        run: notes what happens.
        halves: send each answer in two parts, the second as late after the first as that after the request.
    """

    def __init__(self, run: Run, halves: bool) -> None:
        """Wait for the client."""
        self._run = run
        self._halves = halves
        self._received = b""
        self._timers: list[asyncio.TimerHandle] = []
        self._waiting: list[Question] = []
        self._transport: asyncio.Transport
        self._number: int

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._number = self._run.opened()

    def data_received(self, data: bytes) -> None:
        """Take every request that is there."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            self._take(head.decode("latin-1"))
            if transcript := current():
                transcript.message(RECEIVED, head, self)
        if len(self._received) > LONGEST or self._run.floods:
            self.abort()

    def eof_received(self) -> None:
        """Answer no more, not even what is due at this moment."""
        self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Answer no more."""
        self._give_up()

    def _give_up(self) -> None:
        for timer in self._timers:
            timer.cancel()
        while self._waiting:
            question = self._waiting.pop(0)
            self._run.ended(question, answered=False)
            note(f"{FAILED} the connection ended before the whole answer to {question.text} was sent", self)

    def abort(self) -> None:
        """Hang up."""
        self._transport.abort()

    def _take(self, head: str) -> None:
        line, *fields = head.split("\r\n")
        question = self._run.asked(self._number, line.rpartition(" HTTP/")[0])
        self._waiting.append(question)
        close = line.endswith("HTTP/1.0") or any(map(asks_to_close, fields))
        body = secrets.token_hex(64)
        answer = (
            f"HTTP/1.1 {'200 OK' if question.text.endswith(self._run.path) else '404 Not Found'}\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n"
            f"{'' if line.startswith('HEAD') else body}"
        ).encode()
        # The first half ends within the body: whoever stops at the header stops too early.
        parts = [answer[:-64], answer[-64:]] if self._halves else [answer]
        self._after(hold(), partial(self._send, question, parts, close))

    def _send(self, question: Question, parts: list[bytes], close: bool) -> None:
        part, *later = parts
        if not later:
            self._waiting.remove(question)
            self._run.ended(question, answered=True)
        self._transport.write(part)
        if transcript := current():
            transcript.message(SENT, part, self)
        if later:
            self._after(hold(), partial(self._send, question, later, close))
        elif close:
            self._transport.close()

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, do))


def asks_to_close(field: str) -> bool:
    """Whether a header field is ``Connection`` with the option ``close`` (RFC 9110, section 7.6.1)."""
    name, _, options = field.lower().partition(":")
    return name == "connection" and "close" in (option.strip() for option in options.split(","))


@asynccontextmanager
async def http_server(run: Run, sock: socket.socket, *, halves: bool = False) -> AsyncIterator[None]:
    """Serve HTTP to one run."""
    connections: list[HttpConnection] = []

    def connect() -> HttpConnection:
        connections.append(HttpConnection(run, halves))
        return connections[-1]

    server = await asyncio.get_running_loop().create_server(connect, sock=sock)
    try:
        yield
    finally:
        server.close()
        for connection in connections:
            connection.abort()


def websocket_server(run: Run, sock: socket.socket) -> AbstractAsyncContextManager[None]:
    """Serve WebSockets to one run: one text for each text."""
    return played(partial(_answer, run), sock, close_timeout=STEP_DEADLINE)


async def _answer(run: Run, connection: ServerConnection) -> None:
    number = run.opened()

    async def answer(question: Question) -> None:
        await asyncio.sleep(hold())
        run.ended(question, answered=True)
        with contextlib.suppress(ConnectionClosed):
            await connection.send(secrets.token_hex(8))

    async with asyncio.TaskGroup() as answers:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                if isinstance(message, bytes):
                    run.binary = True
                elif not run.floods:
                    answers.create_task(answer(run.asked(number, shown(message))))


REST = Stopwatch("rest_round_trips", "url", "http", "request", "connection", http_server)
WEBSOCKET = Stopwatch("websocket_round_trips", "uri", "ws", "text message", "WebSocket", websocket_server)
CONNECT = Stopwatch("connection_costs", "url", "http", "request", "connection", partial(http_server, halves=True))


class Stage(Subject):
    """Where a stopwatch is called: each run has a server of its own."""

    def __init__(self, stopwatch: Stopwatch, target: Target) -> None:
        """Use `stage`."""
        super().__init__()
        self.stopwatch = stopwatch
        self._target = target

    async def run(self, n: int, *, lossy: bool = False) -> Run:
        """Call the stopwatch.

        Args:
            n: how many durations it is asked for.
            lossy: lose the first packet of the first connection, where the system allows that. TCP sends it again
                after a second (RFC 6298, section 2), so that opening takes as long.
        """
        run = Run(self.stopwatch, n)
        sock = await self._target.listen()
        async with self.stopwatch.server(run, sock):
            calling = run.call(self._target, sock.getsockname()[1])
            await (at_once(lose_a_packet(run, sock), calling) if lossy else calling)
        return run


def stage(stopwatch: Stopwatch) -> Callable[[Target], AbstractAsyncContextManager[Stage]]:
    """How an exercise opens its stage."""

    @asynccontextmanager
    async def opened(target: Target) -> AsyncIterator[Stage]:
        yield Stage(stopwatch, target)

    return opened


async def lose_a_packet(run: Run, sock: socket.socket) -> None:
    """Drop what comes to a listening socket until that was one packet."""
    if sys.platform != "linux":
        return
    # A program of one instruction for the kernel's filter (socket(7)): return 0, keep no byte of any packet.
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))
        try:
            while not (run.over or _dropped(sock)):  # noqa: ASYNC110 (the kernel only counts)
                await asyncio.sleep(GLANCE)
            if _dropped(sock):
                run.lost_at = time.perf_counter()
        finally:
            sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    except OSError:
        # A kernel without it: the check says what it could not look at.
        return


def _dropped(sock: socket.socket) -> int:
    counts = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (SK_MEMINFO_DROPS + 1))
    return int(struct.unpack_from("I", counts, 4 * SK_MEMINFO_DROPS)[0])
