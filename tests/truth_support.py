"""The truth that a `Link` is held against: kernel TCP between two network namespaces, a delay between them.

Each namespace has a TUN device; a process of its own carries the packets from one to the other, each after the
delay. A thread is put into the client's namespace, and every socket that it makes is there; servers are child
processes of a thread in the other one.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import queue
import shutil
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import trustme
from websockets.sync.client import connect

from wirelab import Link

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
CLIENT, SERVER = "10.99.0.1", "10.99.0.2"
CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
HERE = Path(__file__).parent
# Kilobytes.
BODIES = (20, 50, 100, 200, 500, 1000)
DEADLINE = 20.0

T = TypeVar("T")
Exchange = Callable[[], float]


class Addresses(NamedTuple):
    """Where a server of `truth_server.py` is reached: base URLs."""

    http: str
    https: str
    ws: str


class Namespace:
    """A thread in a network namespace of its own, with a TUN device."""

    def __init__(self, address: str, congestion_control: str | None) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"namespace {address}", daemon=True)
        self._thread.start()
        try:
            self.tun: int = self.run(lambda: _set_up(address, congestion_control))
        except BaseException:
            self._work.put(None)
            raise

    def _run(self) -> None:
        while job := self._work.get():
            function, answer = job
            try:
                answer.set_result(function())
            except BaseException as exc:
                answer.set_exception(exc)

    def run(self, function: Callable[[], T]) -> T:
        """Call a function in the namespace."""
        answer: Future[T] = Future()
        self._work.put((function, answer))
        return answer.result(120)

    def close(self) -> None:
        self._work.put(None)
        self._thread.join(DEADLINE)
        with contextlib.suppress(OSError):
            os.close(self.tun)


def _set_up(address: str, congestion_control: str | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare: " + os.strerror(ctypes.get_errno()))
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
    peer = CLIENT if address == SERVER else SERVER
    for command in (
        "link set lo up",
        f"addr add {address} peer {peer} dev tun0",
        "link set tun0 up mtu 1500 txqueuelen 10000",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
    if congestion_control:
        # The namespace of the thread that opens it.
        CONGESTION_CONTROL.write_text(congestion_control)
    return tun


def why_no_truth(congestion_control: str | None = None) -> str | None:
    """Say why kernel TCP across two namespaces cannot be had here, or None if it can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if not shutil.which("ip"):
        return "there is no ip command (iproute2)"
    try:
        Namespace(CLIENT, congestion_control).close()
    except (OSError, subprocess.CalledProcessError) as exc:
        return (
            f"no namespace with a TUN device and {congestion_control or 'the default congestion control'}: {exc}"
        )
    return None


class Certificate(NamedTuple):
    """A file for servers on both hosts, and what makes clients trust it."""

    file: Path
    trust: ssl.SSLContext


def make_certificate(folder: Path) -> Certificate:
    """Make a certificate of an authority of its own."""
    authority, trust = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trust)
    trust.minimum_version = ssl.TLSVersion.TLSv1_3
    file = folder / "server.pem"
    authority.issue_cert("127.0.0.1", SERVER).private_key_and_cert_chain_pem.write_to_path(str(file))
    return Certificate(file, trust)


@contextlib.contextmanager
def serving(
    host: str, certificate: Certificate, spawn: Callable[[Callable[[], Any]], Any] = lambda start: start()
) -> Iterator[Addresses]:
    """Run `truth_server.py` on a host; `spawn` starts it in the host's namespace."""
    process = spawn(
        lambda: subprocess.Popen(
            [sys.executable, str(HERE / "truth_server.py"), host, str(certificate.file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    try:
        yield Addresses(*json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(DEADLINE)
        process.stdout.close()


class Side(NamedTuple):
    """One of two networks to compare: what its clients have to run in, and its exchanges by name."""

    run: Callable[[Callable[[], float]], float]
    exchanges: dict[str, Exchange]


@contextlib.contextmanager
def truth(delay: float, certificate: Certificate, congestion_control: str | None = None) -> Iterator[Side]:
    """Kernel TCP between two namespaces with `delay` seconds between them each way."""
    with contextlib.ExitStack() as stack:
        client, server = Namespace(CLIENT, congestion_control), Namespace(SERVER, congestion_control)
        stack.callback(client.close)
        stack.callback(server.close)
        handles = (client.tun, server.tun)
        wire = subprocess.Popen(
            [sys.executable, str(HERE / "truth_wire.py"), *map(str, handles), str(delay)],
            pass_fds=handles,
            stdin=subprocess.PIPE,
        )
        assert wire.stdin
        stack.callback(wire.wait, DEADLINE)
        stack.callback(wire.stdin.close)
        servers = stack.enter_context(serving(SERVER, certificate, server.run))
        yield Side(client.run, client.run(lambda: stack.enter_context(exchanges(servers, certificate.trust))))


@contextlib.contextmanager
def emulated(delay: float, certificate: Certificate) -> Iterator[Side]:
    """The same servers behind links."""
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(serving("127.0.0.1", certificate))
        http, https, ws = (stack.enter_context(Link(address, delay=delay)) for address in servers)
        addresses = Addresses(http.http, https.http, ws.ws)
        yield Side(lambda function: function(), stack.enter_context(exchanges(addresses, certificate.trust)))


@contextlib.contextmanager
def exchanges(servers: Addresses, trust: ssl.SSLContext) -> Iterator[dict[str, Exchange]]:
    """Each way to talk to the servers, as a function that takes the seconds of one exchange."""

    def open_http() -> HTTPConnection:
        address = urlsplit(servers.http)
        return HTTPConnection(address.hostname or "", address.port, timeout=DEADLINE)

    def open_https() -> HTTPConnection:
        address = urlsplit(servers.https)
        return HTTPSConnection(address.hostname or "", address.port, timeout=DEADLINE, context=trust)

    def ask(connection: HTTPConnection, size: int, upload: int = 0) -> None:
        connection.request("POST" if upload else "GET", f"/{size}", body=bytes(upload) or None)
        connection.getresponse().read()

    def on_a_new(open_it: Callable[[], HTTPConnection], size: int = 10, upload: int = 0) -> Exchange:
        def exchange() -> float:
            with contextlib.closing(open_it()) as connection:
                begin = time.perf_counter()
                ask(connection, size, upload)
                return time.perf_counter() - begin

        return exchange

    def open_websocket() -> Any:
        return connect(servers.ws, proxy=None, compression=None, ping_interval=None, legacy=True)

    def opening() -> float:
        begin = time.perf_counter()
        connection = open_websocket()
        took = time.perf_counter() - begin
        # Without a goodbye, which would take a round trip.
        connection.socket.close()
        return took

    def keep_alive() -> float:
        begin = time.perf_counter()
        ask(kept, 10)
        return time.perf_counter() - begin

    def echo() -> float:
        begin = time.perf_counter()
        websocket.send("x")
        websocket.recv(DEADLINE)
        return time.perf_counter() - begin

    kept, websocket = open_http(), open_websocket()
    try:
        yield {
            "new connection": on_a_new(open_http),
            "keep-alive": keep_alive,
            "new connection, TLS 1.3": on_a_new(open_https),
            "WebSocket open": opening,
            "WebSocket echo": echo,
            **{f"body of {size} kB": on_a_new(open_http, 1000 * size) for size in BODIES},
            **{f"upload of {size} kB": on_a_new(open_http, 10, 1000 * size) for size in BODIES},
        }
    finally:
        kept.close()
        websocket.socket.close()


def compare(true: Side, emulated: Side, name: str, rounds: int) -> tuple[list[float], list[float]]:
    """Make an exchange on both sides in turns, and return the seconds of each; the first two turns warm up."""
    here: list[float] = []
    there: list[float] = []
    for turn in range(rounds + 1):
        for side, times in ((true, there), (emulated, here))[:: 1 if turn % 2 else -1]:
            seconds = side.run(side.exchanges[name])
            if turn:
                times.append(seconds)
    return there, here
