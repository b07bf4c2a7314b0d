"""An emulated network between clients and a server: `Link`, and `Relay` for code with an event loop of its own."""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
import sys
from collections.abc import Callable
from typing import TypeVar

from ._addresses import address_of
from ._background import EngineThread
from ._exchange import Exchange
from ._names import as_written
from ._network import PROFILES, Network, Profile, network_of
from ._relay import Relay
from .serving import ServeError, Server, launch

__all__ = ["PROFILES", "Exchange", "Link", "Network", "Profile", "Relay"]

T = TypeVar("T")


class Link(Server):
    """A network between clients and a server of this machine: they use its address in the server's place.

    Any client that takes an address goes through it: HTTP, WebSocket, server-sent events, TLS (which it does not
    open: certificates are the server's). It stops at the end of a ``with`` block, by `stop`, by `stop_all`, and
    when its cell runs again.

    What it emulates, within 5 % or 1 ms of kernel TCP over a wire of that length, bodies within 15 %:

    * the way: each byte arrives `delay` seconds after it left, in order, with `jitter` up to that much later; a
      close and a reset take the same way;
    * the handshake of TCP: a connection is opened over loopback, so ``connect()`` returns at once, and what the
      client sends before it has heard from the server waits a full round trip more. The sum is right, the parts
      are not: never say from these times how long ``connect()`` takes. The server sees the connection after one
      and a half round trips. The handshake of TLS needs no help: its messages travel like others;
    * TCP's slow start: ten packets of 1,448 bytes, twice as many after each round trip, up to what a Linux
      receiver allows; an idle connection falls back;
    * bandwidth: connections share it, and wait for one another in each direction.

    What it does not emulate: loss and what follows from it (retransmission, congestion avoidance: nothing is lost
    until you order a fault); other congestion controls than reno;
    packets' own headers, which take 3 % of a real bandwidth; name look-up; Nagle's algorithm and delayed
    acknowledgements over a distance (those of loopback stay); a refusal's round trip: `refuse` answers at once.
    Where the server does not listen, a client is reset instead of refused. After `thaw` everything goes on at
    once; TCP would wait for its next retransmission.

    Timers are late by some 0.1 ms on Linux and macOS, by up to 16 ms on Windows. The link is a thread of this
    process: a cell that computes while it measures makes it late too.

    Args:
        server: a running `Server`, the base URL of one, or its port on 127.0.0.1.
        profile: a network by its name; see `PROFILES`.
        delay: seconds one way.
        jitter: seconds that a byte may take longer.
        bandwidth: bytes a second in each direction.
        port: the link's own port; 0 takes a free one.

    Attributes:
        network: its `Network`: delay, jitter, bandwidth.
        name, port, http, ws: as a `Server` has them.

    Raises:
        ServeError: the server has stopped, or the port is taken.
        ValueError, TypeError: an argument is out of range; the message says what to write instead.
    """

    def __init__(
        self,
        server: Server | str | int,
        *,
        profile: str | None = None,
        delay: float | None = None,
        jitter: float | None = None,
        bandwidth: float | None = None,
        port: int = 0,
    ) -> None:
        self.network = network_of(profile, delay, jitter, bandwidth)
        if isinstance(server, Server) and not server.running:
            raise ServeError(f"Server {server.name} has stopped: serve it again, then make the link.")
        to = server.name if isinstance(server, Server) else as_written() or str(server)
        self._engine = _RelayEngine(server.http if isinstance(server, Server) else server, self.network)
        thread = EngineThread(f"link to {to}", lambda _: self._engine, make_loop=precise_event_loop)
        super().__init__(f"link to {to}, {profile or self.network}", thread)
        self._thread = thread
        launch(self, port, explicit=False)

    # What went over it

    @property
    def sent(self) -> int:
        """Bytes that have reached the server."""
        return self._engine.relay.sent

    @property
    def received(self) -> int:
        """Bytes that have reached clients."""
        return self._engine.relay.received

    @property
    def connections(self) -> int:
        """How many connections clients have opened so far."""
        return self._engine.relay.connections

    def exchange(self) -> Exchange:
        """What went over it, to print or to compute with; also after it has stopped."""
        relay = self._engine.relay
        return self._on_thread(relay.exchange) if self.running else relay.exchange()

    # Faults

    def reset(self) -> None:
        """Reset every open connection, on both sides; what is on its way is lost."""
        self._on_thread(self._engine.relay.reset)

    def freeze(self) -> None:
        """Let nothing pass and close nothing; new connections hang too."""
        self._on_thread(self._engine.relay.freeze)

    def thaw(self) -> None:
        """End `freeze`: what has waited goes on at once."""
        self._on_thread(self._engine.relay.thaw)

    def half_close(self) -> None:
        """Tell every client that its server is done; what the server sends from now on is lost."""
        self._on_thread(self._engine.relay.half_close)

    def drop_after(self, count: int) -> None:
        """Let so many more bytes pass towards clients, over all connections, then reset all that are open.

        Raises:
            ValueError: `count` is negative, or no whole number.
        """
        self._on_thread(lambda: self._engine.relay.drop_after(count))

    def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""
        self._on_thread(self._engine.relay.refuse)

    def accept(self) -> None:
        """End `refuse`."""
        self._on_thread(self._engine.relay.accept)

    def _on_thread(self, function: Callable[[], T]) -> T:
        if not self.running:
            raise ServeError(f"The {self.name} has stopped: make it again with Link(...).")
        return self._thread.call(function)

    def __repr__(self) -> str:
        return super().__repr__().replace("<Server link", "<Link", 1)


class _RelayEngine:
    """A relay as what a server's thread runs; see `_engines.Engine`."""

    relay: Relay

    def __init__(self, target: str | int, network: Network) -> None:
        self.scheme_suffix = "s" if str(target).startswith(("https:", "wss:")) else ""
        self._target = address_of(target)
        self._network = network

    async def start(self, sock: socket.socket) -> None:
        network = self._network
        self.relay = Relay(
            sock, self._target, delay=network.delay, jitter=network.jitter, bandwidth=network.bandwidth
        )
        await self.relay.start()

    async def tick(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        await self.relay.stop()


if sys.platform == "linux":

    class _PreciseSelector(selectors.EpollSelector):
        """epoll, with the microseconds of select for its time-outs: its own are whole milliseconds, rounded up."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            # select can watch handles of low numbers only.
            if timeout and timeout > 0 and self.fileno() < 1024:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)


def precise_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop whose timers are late by a fraction of a millisecond, where the system can do that."""
    if sys.platform == "linux":
        return asyncio.SelectorEventLoop(_PreciseSelector())
    # Not Windows' other loop: it could not watch a socket.
    return asyncio.SelectorEventLoop()
