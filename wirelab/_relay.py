"""A relay on an event loop: what one connection sends leaves on the other when a real network would bring it.

Both ends are connections over loopback, so TCP's own waiting does not happen by itself; `Flow` computes it. Each
direction of a connection is one queue with one timer: asyncio runs timers with equal deadlines in any order,
which would scramble the stream. All times are those of the event loop, in seconds; what leaves late because the
machine is busy does not make later bytes late.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
import struct
import sys
from collections import deque
from collections.abc import Coroutine
from enum import Enum, auto
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, SupportsIndex

from ._addresses import address_of
from ._background import listening_socket
from ._exchange import Exchange
from ._network import (
    FIRST_RECEIVE_WINDOW,
    INITIAL_WINDOW,
    LARGEST_WINDOW,
    Network,
    in_packets,
    network_of,
)
from ._recording import CLIENT, NETWORK, SERVER, Recorder, Recording, Sender

if sys.platform == "linux":
    import fcntl
    import termios

# Seconds without traffic, beside a round trip, after which TCP halves its window, down to the first one (RFC 2861,
# with Linux's shortest retransmission time-out).
IDLE = 0.2
# Bytes of one direction that wait at the relay before it stops to read, and before it reads again.
FULL, EMPTY = 256 * 1024, 64 * 1024
# Bytes that the relay's own sockets may hold: with the system's sizes, two hops would hide a slow reader for long.
SOCKET_BUFFER = 256 * 1024
# Seconds that pieces of a stream are apart where there is a bandwidth.
PIECE = 0.001
# Seconds by which the server is reached too early, for this takes its time as well.
EARLY = 0.001
# Seconds to wait for a slow reader before it is cut off.
BURN_DEADLINE = 1.0
# Connections that wait to be accepted.
BACKLOG = 2048
# For SO_LINGER: a socket that is closed resets its connection.
ABORT = struct.pack("ii", 1, 0)


class Mark(Enum):
    """What stands in a stream beside its bytes."""

    END = auto()
    RESET = auto()


class Line:
    """One direction of the path that all connections share."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._free_at = 0.0
        # Not the module's own numbers: a notebook may have seeded those.
        self._random = random.Random()

    def carry(self, count: int, at: float) -> float:
        """Send so many bytes, and return when the last of them arrives."""
        network = self._network
        if network.bandwidth:
            at = self._free_at = max(at, self._free_at) + count / network.bandwidth
        return at + network.delay + (self._random.uniform(0, network.jitter) if network.jitter else 0.0)


class Waiting(NamedTuple):
    """Bytes that have not left yet."""

    leaves: float
    put: float
    data: memoryview | Mark


class Travelling(NamedTuple):
    """Bytes on their way."""

    arrives: float
    put: float
    data: memoryview | Mark


class Acknowledgement(NamedTuple):
    """What comes back for bytes that have arrived."""

    arrives: float
    size: int


class Flow:
    """One direction of one connection: from `put`, through TCP's window and the line, to the other end."""

    def __init__(self, connection: Connection, sender: Literal["client", "server"], line: Line) -> None:
        self._connection = connection
        self._relay = connection.relay
        self._network = connection.relay.network
        self._loop = connection.loop
        self.sender = sender
        self._line = line
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None
        self.ended = False
        # Set by a fault: what is put from then on is thrown away.
        self.cut = False
        self._waiting: deque[Waiting] = deque()
        self._waiting_bytes = 0
        self._travelling: deque[Travelling] = deque()
        self._acknowledgements: deque[Acknowledgement] = deque()
        self._on_the_way = 0
        self._most_on_the_way = 0
        # What the sender allows itself (the congestion window), and what the receiver allows. In whole packets, as
        # is what is on the way: a small one fills its place.
        self._congestion_window: float = INITIAL_WINDOW
        self._receive_window: float = FIRST_RECEIVE_WINDOW
        self._left_at = 0.0
        self._arrived_at = 0.0
        self._held_until = 0.0
        self._sink_full = False
        self._source_paused = False
        self._source_ended = False
        self._timer: asyncio.TimerHandle | None = None

    # What happens at the ends

    def put(self, data: bytes | Mark) -> None:
        """Take what the source has sent."""
        self._source_ended |= isinstance(data, Mark)
        if self.cut:
            return
        now = self._loop.time()
        if self._network.idle and not (self._waiting or self._travelling) and self._open:
            self._arrive(Travelling(now, now, data if isinstance(data, Mark) else memoryview(data)))
            self._pause_source(self._sink_full)
            return
        leaves = now + self._connection.handshake if self.sender == CLIENT else max(now, self._connection.opens)
        self._waiting.append(Waiting(leaves, now, data if isinstance(data, Mark) else memoryview(data)))
        self._waiting_bytes += 0 if isinstance(data, Mark) else len(data)
        self.run()

    def hold(self) -> None:
        """Keep everything back: the sink takes no more."""
        self._sink_full = True

    def go_on(self) -> None:
        """The sink takes bytes again."""
        self._sink_full = False
        self.released()

    def released(self) -> None:
        """Go on after something kept everything back."""
        self._held_until = self._loop.time()
        self.run()

    def stop(self) -> None:
        """Forget everything."""
        self._set_timer(math.inf)
        self.cut = True
        self._waiting.clear()
        self._travelling.clear()

    @property
    def _open(self) -> bool:
        return self.sink is not None and not (self._sink_full or self._relay.frozen)

    # What happens in between

    @property
    def _window(self) -> float:
        """Bytes that may be on the way."""
        if self._network.idle:
            return math.inf
        return min(self._congestion_window, self._receive_window, self._network.window)

    def run(self) -> None:
        """Do all that is due, and set the timer for the next."""
        now = self._loop.time()
        while (due := self._next()) <= now:
            if self._travelling and self._open and self._travelling[0].arrives <= due:
                self._arrive(self._travelling.popleft())
            else:
                self._leave(due)
        self._pause_source(
            self._waiting_bytes > (EMPTY if self._source_paused else FULL)
            or (self._network.idle and not self._open)
        )
        self._set_timer(due)

    def _set_timer(self, due: float) -> None:
        if self._timer and self._timer.when() == due:
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._wake) if due < math.inf else None

    def _wake(self) -> None:
        self._timer = None
        self.run()

    def _next(self) -> float:
        """When the next thing happens."""
        arrives = self._travelling[0].arrives if self._travelling and self._open else math.inf
        return min(arrives, self._next_to_leave())

    def _next_to_leave(self) -> float:
        if not self._waiting or self._relay.frozen:
            return math.inf
        leaves = self._waiting[0].leaves
        if self._on_the_way < self._window:
            return leaves
        return max(leaves, self._acknowledgements[0].arrives) if self._acknowledgements else math.inf

    def _leave(self, at: float) -> None:
        """Send as much as the window lets go at this time."""
        self._take_acknowledgements(at)
        while self._waiting and self._waiting[0].leaves <= at and (room := self._window - self._on_the_way) > 0:
            put, data = self._take(room)
            count = 0 if isinstance(data, Mark) else len(data)
            self._on_the_way += in_packets(count)
            self._most_on_the_way = max(self._most_on_the_way, self._on_the_way)
            # Nothing overtakes.
            arrives = self._arrived_at = max(self._line.carry(count, at), self._arrived_at)
            self._travelling.append(Travelling(arrives, put, data))
        self._left_at = at

    def _take(self, room: float) -> tuple[float, memoryview | Mark]:
        """Take what waits first, or as much of it as there is room for."""
        waiting = self._waiting.popleft()
        data = waiting.data
        if not isinstance(data, Mark):
            if self._network.bandwidth:
                room = min(room, in_packets(PIECE * self._network.bandwidth))
            if len(data) > room:
                self._waiting.appendleft(waiting._replace(data=data[int(room) :]))
                data = data[: int(room)]
            self._waiting_bytes -= len(data)
        return waiting.put, data

    def _take_acknowledgements(self, at: float) -> None:
        while self._acknowledgements and self._acknowledgements[0].arrives <= at:
            size = self._acknowledgements.popleft().size
            self._on_the_way -= size
            # A window that is not used does not grow.
            if self._congestion_window < 2 * self._most_on_the_way:
                self._congestion_window = min(self._congestion_window + size, LARGEST_WINDOW)
            if self._most_on_the_way >= self._receive_window:
                self._receive_window = LARGEST_WINDOW
        if not self._on_the_way:
            self._most_on_the_way = 0
            patience = IDLE + self._network.round_trip
            idle = at - self._left_at
            while idle > patience and self._congestion_window > INITIAL_WINDOW:
                self._congestion_window = max(INITIAL_WINDOW, in_packets(self._congestion_window / 2))
                idle -= patience

    def _arrive(self, item: Travelling) -> None:
        if isinstance(item.data, Mark):
            self._connection.arrived(self, item.data, item.put)
            return
        if not self._network.idle:
            back = max(item.arrives, self._held_until) + self._network.delay
            self._acknowledgements.append(Acknowledgement(back, in_packets(len(item.data))))
        self._relay.pass_on(self._connection, self, item.data, item.put)

    def _pause_source(self, pause: bool) -> None:
        if pause == self._source_paused:
            return
        self._source_paused = pause
        if pause:
            # From here on the sender waits for the network, and its clock is the network's.
            self._connection.heard()
        self._read(not pause and not self._relay.frozen)

    def _read(self, on: bool) -> None:
        # A transport that has told of the end would tell of it once more.
        if self.source and not self._source_ended and not self.source.is_closing():
            if on:
                self.source.resume_reading()
            else:
                self.source.pause_reading()

    def freeze(self) -> None:
        """Let nothing in or out."""
        self._set_timer(math.inf)
        self._read(False)

    def thaw(self) -> None:
        """End of `freeze`."""
        self._read(not self._source_paused)
        self.released()


class End(asyncio.Protocol):
    """The relay's end of a TCP connection: what it receives goes into one flow, what it sends comes out of one."""

    def __init__(self, connection: Connection, out: Flow, into: Flow) -> None:
        self._connection = connection
        self._out = out
        self._into = into
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = self._out.source = self._into.sink = transport
        if self._connection.over:
            # It was broken off before it was there.
            self.reset()
            return
        sock = transport.get_extra_info("socket")
        # macOS lets nothing be set on a connection that the other side has broken off already.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        # Tell at once when the other side takes no more, and only then.
        transport.set_write_buffer_limits(high=0)
        if self._connection.relay.frozen:
            self._out.freeze()
        self._into.run()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self._out.put(data)

    def eof_received(self) -> bool:
        """Pass on that the other side is done; it may still receive."""
        self._out.put(Mark.END)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the connection broke."""
        self._connection.lost(self._out, self._into)

    def pause_writing(self) -> None:
        """Wait for a slow reader."""
        self._into.hold()

    def resume_writing(self) -> None:
        """Go on."""
        self._into.go_on()

    def reset(self) -> None:
        """End the connection with a RST (RFC 9293, section 3.5.2): what is on its way is lost."""
        if self.transport and not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            self.transport.abort()

    def close(self) -> None:
        """End the connection in order."""
        if self.transport:
            self.transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self.transport:
            self.transport.abort()


class Connection:
    """A client's connection and the one to the server that stands for its far end."""

    def __init__(self, relay: Relay, loop: asyncio.AbstractEventLoop, record: Recording) -> None:
        self.relay = relay
        self.loop = loop
        self.record = record
        # Seconds that the client is ahead: a real one would have waited so long for its connection.
        self.handshake = relay.network.round_trip
        # When the server would see the connection.
        self.opens = 0.0
        self.up = Flow(self, CLIENT, relay.up)
        self.down = Flow(self, SERVER, relay.down)
        self.client = End(self, self.up, self.down)
        self.server = End(self, self.down, self.up)
        self.over = False
        self._late = False
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Reach the server when the handshake would be complete there: after one and a half round trips."""
        self.opens = self.loop.time() + self.handshake + self.relay.network.delay
        self._timer = self.loop.call_at(self.opens - EARLY, self.connect)

    def connect(self) -> None:
        """Connect to the server, unless the network is frozen."""
        self._late = self.relay.frozen
        if not self._late:
            self.relay.connect(self)

    def heard(self) -> None:
        """The client has waited for the server: it is ahead no longer."""
        self.handshake = 0.0

    def arrived(self, flow: Flow, mark: Mark, put: float) -> None:
        """An end of one side reaches the other."""
        self.record.mark(flow.sender, "end" if mark is Mark.END else "reset", put, self.loop.time())
        if mark is Mark.RESET:
            self.reset()
            return
        flow.ended = True
        if flow.sink and not flow.sink.is_closing():
            # The other end may have broken off in this very moment, and that is not told yet.
            with contextlib.suppress(OSError):
                flow.sink.write_eof()
        if self.up.ended and self.down.ended:
            self.close()

    def lost(self, out: Flow, into: Flow) -> None:
        """One end is gone: nothing goes into it any more, and the other one will learn of it."""
        if not self.over:
            into.stop()
            out.put(Mark.RESET)

    def half_close(self) -> None:
        """Tell the client that the server is done."""
        self.down.put(Mark.END)
        self.down.cut = True

    def freeze(self) -> None:
        """Let nothing pass."""
        self.up.freeze()
        self.down.freeze()

    def thaw(self) -> None:
        """Let everything pass again."""
        if self._late:
            self.connect()
        self.up.thaw()
        self.down.thaw()

    def break_off(self, by: Sender) -> None:
        """Break both ends because of a fault."""
        if self.over:
            return
        now = self.loop.time()
        self.record.mark(by, "reset", now, now)
        self.reset()

    def reset(self) -> None:
        """Break both ends."""
        self._end()
        self.client.reset()
        self.server.reset()

    def close(self) -> None:
        """Close both ends: what was handed to them still goes out."""
        self._end()
        self.client.close()
        self.server.close()

    def abort(self) -> None:
        """Close both ends at once."""
        self._end()
        self.client.abort()
        self.server.abort()

    def _end(self) -> None:
        self.over = True
        if self._timer:
            self._timer.cancel()
        self.up.stop()
        self.down.stop()
        self.relay.forget(self)


class Relay:
    """An emulated network between clients and one server, on the event loop that runs.

    `wirelab.link.Link` is the same in a thread of its own, and says what is emulated and what is not. Checks,
    which have an event loop, use this one: ``async with Relay(await target.listen(), port, delay=0.02) as relay``.
    Its methods are plain functions, to be called on that loop.

    Args:
        listener: a listening socket of whatever network the clients are in; the relay closes it in the end. None
            makes one on a free port of 127.0.0.1.
        target: the server: a port of 127.0.0.1, a base URL, or host and port.
        profile, delay, jitter, bandwidth: as for a `Link`.

    Attributes:
        port: the port that clients connect to.
        sent: bytes that reached the server.
        received: bytes that reached clients.
        connections: how many were opened so far.
    """

    def __init__(
        self,
        listener: socket.socket | None,
        target: int | str | tuple[str, int],
        *,
        profile: str | None = None,
        delay: float | None = None,
        jitter: float | None = None,
        bandwidth: float | None = None,
    ) -> None:
        self.network = network_of(profile, delay, jitter, bandwidth)
        self._listener = listener or listening_socket(0)
        self._listener.setblocking(False)
        self._address = self._listener.getsockname()
        self._target = target if isinstance(target, tuple) else address_of(target)
        self.port: int = self._address[1]
        self.http = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}"
        self.sent = 0
        self.received = 0
        self.connections = 0
        self.frozen = False
        self.up, self.down = Line(self.network), Line(self.network)
        self.recorder = Recorder()
        self._open: set[Connection] = set()
        self._at_the_door: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._refusing = False
        self._fuse: int | None = None

    async def start(self) -> None:
        """Take connections."""
        self._loop = asyncio.get_running_loop()
        self._accepting = self._loop.create_task(self._accept())

    async def stop(self) -> None:
        """Close every connection and the listening socket, and wait until they are closed."""
        tasks = [*self._tasks, *([self._accepting] if self._accepting else [])]
        self._accepting = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._at_the_door:
            self._at_the_door.pop().close()
        for connection in list(self._open):
            connection.abort()
        self._listener.close()
        # Transports close their sockets in the next round of the loop.
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.stop()

    def exchange(self) -> Exchange:
        """What went over it, to print or to compute with."""
        return Exchange(self.recorder.copy())

    # Faults

    def reset(self) -> None:
        """Reset every open connection, on both sides; what is on its way is lost."""
        self._reset_open()
        # Those too that are open for their clients and not accepted yet.
        with contextlib.suppress(OSError):
            while not self._refusing:
                sock, _ = self._listener.accept()
                self.connections += 1
                _reset(sock)
        while self._at_the_door:
            _reset(self._at_the_door.pop())
        # And one that is being accepted right now.
        self._loop.call_soon(self._reset_open)

    def _reset_open(self) -> None:
        for connection in list(self._open):
            connection.break_off(NETWORK)

    def freeze(self) -> None:
        """Let nothing pass and close nothing: new connections hang too."""
        if not self.frozen:
            self.frozen = True
            for connection in self._open:
                connection.freeze()

    def thaw(self) -> None:
        """End `freeze`: what has waited goes on at once."""
        if not self.frozen:
            return
        self.frozen = False
        for connection in list(self._open):
            connection.thaw()
        waiting, self._at_the_door = self._at_the_door, []
        for sock in waiting:
            unread = _unread(sock)
            if unread is None:
                sock.close()
            else:
                self._spawn(self._admit(sock, unread))

    def half_close(self) -> None:
        """Tell every client that its server is done; what the server sends from now on is lost."""
        for connection in list(self._open):
            connection.half_close()

    def drop_after(self, count: int) -> None:
        """Let so many more bytes pass towards clients, over all connections, then reset all that are open.

        Raises:
            ValueError: `count` is negative, or no whole number.
        """
        if not isinstance(count, SupportsIndex) or count < 0:
            raise ValueError(f"drop_after takes the number of bytes that still pass, not {count!r}.")
        self._fuse = count
        if not count:
            self._burn_down()

    def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""
        if self._refusing:
            return
        self._refusing = True
        # A listening socket that is shut down refuses, and can listen again, on the same port and in the same
        # network (Linux). Elsewhere connections are taken and reset.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RD)
            if self._accepting:
                self._accepting.cancel()
                self._accepting = None
            # A port that the system chose is given back by that; bound by its number it stays.
            self._listener.bind(self._address)

    def accept(self) -> None:
        """End `refuse`."""
        if not self._refusing:
            return
        self._refusing = False
        if self._accepting is None:
            self._listener.listen(BACKLOG)
            self._accepting = self._loop.create_task(self._accept())

    # Connections

    async def _accept(self) -> None:
        while True:
            try:
                sock, _ = await self._loop.sock_accept(self._listener)
            except OSError:
                # A client that left before it was accepted, or no handles left: others may come.
                await asyncio.sleep(0.01)
                continue
            if self._refusing:
                _reset(sock)
                continue
            self.connections += 1
            if self.frozen:
                self._at_the_door.append(sock)
            else:
                await self._admit(sock)

    async def _admit(self, sock: socket.socket, unread: bytes = b"") -> None:
        connection = Connection(self, self._loop, self.recorder.begin(self._loop.time(), self.network.round_trip))
        self._open.add(connection)
        connection.open()
        if unread:
            connection.up.put(unread)
        try:
            await self._loop.connect_accepted_socket(lambda: connection.client, sock)
        except OSError:
            connection.abort()
            sock.close()

    def connect(self, connection: Connection) -> None:
        """Reach the server for a connection."""
        self._spawn(self._connect(connection))

    async def _connect(self, connection: Connection) -> None:
        try:
            await self._loop.create_connection(lambda: connection.server, *self._target)
        except OSError:
            connection.break_off(SERVER)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def pass_on(self, connection: Connection, flow: Flow, data: memoryview, put: float) -> None:
        """Let bytes arrive."""
        if flow.sink is None or flow.sink.is_closing():
            return
        if flow.sender == SERVER:
            if self._fuse == 0:
                return
            if self._fuse is not None:
                data = data[: self._fuse]
                self._fuse -= len(data)
                if not self._fuse:
                    self._spawn(self._burn(flow.sink))
            connection.heard()
            self.received += len(data)
        else:
            self.sent += len(data)
        connection.record.piece(flow.sender, data, put, self._loop.time())
        flow.sink.write(data)

    async def _burn(self, sink: asyncio.Transport) -> None:
        """Reset everything once the last bytes that may pass are at the client: a reset overtakes what is not."""
        deadline = self._loop.time() + BURN_DEADLINE
        while _unsent(sink) and self._loop.time() < deadline:  # noqa: ASYNC110 (the system does not say when)
            await asyncio.sleep(0.001)
        self._burn_down()

    def _burn_down(self) -> None:
        self._fuse = None
        self.reset()

    def forget(self, connection: Connection) -> None:
        """A connection is over."""
        self._open.discard(connection)


def _unsent(transport: asyncio.Transport) -> int:
    """Bytes that are not at the other side yet, as far as the system tells."""
    waiting = transport.get_write_buffer_size()
    if sys.platform == "linux" and not waiting and not transport.is_closing():
        handle = transport.get_extra_info("socket").fileno()
        (waiting,) = struct.unpack("i", fcntl.ioctl(handle, termios.TIOCOUTQ, bytes(4)))
    return waiting


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    sock.close()


def _unread(sock: socket.socket) -> bytes | None:
    """Take what a client has sent that nobody has read yet; None if it has left since."""
    unread = b""
    try:
        while data := sock.recv(65_536):
            unread += data
    except BlockingIOError:
        return unread
    except OSError:
        return None
    return None
