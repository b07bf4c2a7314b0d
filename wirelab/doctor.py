"""What ``wirelab doctor`` looks at: whatever, outside of the kit, has kept its lessons from running."""

from __future__ import annotations

import asyncio
import errno
import importlib.metadata
import os
import re
import socket
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PYTHON = (3, 11)

# File handles. A benchmark holds both ends of 100 streams, a lesson those of some hundred clients.
NEEDED_HANDLES = 256
AMPLE_HANDLES = 1024

# Seconds for an exchange over the loopback interface, and for a look whether anybody answers there: Windows
# lets an unanswered connection wait two seconds.
DEADLINE = 2.0
GLANCE = 0.3

# The ports of the article's two servers.
DEFAULT_PORTS = {5000: "the todo service", 8765: "the price stream"}

INSTALL = "run: pip install -r requirements.txt"


class Level(StrEnum):
    """How bad a finding is. Only a fault makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.FAULT: "red"}


@dataclass(frozen=True)
class Finding:
    """What one check saw, and one sentence on what to do about it."""

    check: str
    level: Level
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Run every check on this machine; one that breaks is a finding too, and keeps nobody from the others."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings.extend(check())
        except Exception as exc:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            findings.append(
                Finding(name, Level.FAULT, f"the check itself broke ({_said(exc)})", "Please report it.")
            )
    return findings


def _said(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    """Look for an interpreter that the kit's packages support."""
    found = f"{'.'.join(map(str, version))} at {sys.executable}"
    if version >= PYTHON:
        yield Finding("python", Level.OK, found)
    else:
        yield Finding(
            "python",
            Level.FAULT,
            found,
            "Install Python 3.11 or newer and make a new virtual environment with it.",
        )


def check_packages(requirements: Iterable[str] | None = None) -> Iterator[Finding]:
    """Compare what is installed with requirements, by default those that the kit itself declares."""
    if requirements is None:
        try:
            requirements = importlib.metadata.requires("wirelab") or []
        except importlib.metadata.PackageNotFoundError:
            yield Finding("packages", Level.FAULT, "the kit is not installed", f"In its folder, {INSTALL}")
            return
    needed = [requirement for requirement in map(Requirement, requirements) if _applies(requirement)]
    wrong = [(requirement, _installed(requirement.name)) for requirement in needed if not _satisfied(requirement)]
    for requirement, version in wrong:
        wanted = f"{requirement.name}{requirement.specifier}"
        found = f"{requirement.name} {version}, but {wanted} is needed" if version else f"{wanted} is missing"
        yield Finding("packages", Level.FAULT, found, f"In the virtual environment of the kit, {INSTALL}")
    if not wrong:
        yield Finding("packages", Level.OK, f"{len(needed)} packages, all in the range that the kit needs")


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in ("", "test"))


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _satisfied(requirement: Requirement) -> bool:
    version = _installed(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def check_stand_ins(installed: Collection[str] | None = None) -> Iterator[Finding]:
    """Look for packages that put themselves in the place of one that the lessons measure."""
    if installed is None:
        installed = {canonicalize_name(d.name) for d in importlib.metadata.distributions()}
    if {"niquests", "urllib3-future"}.isdisjoint(installed):
        yield Finding("requests", Level.OK, "stands on urllib3")
    else:
        yield Finding(
            "requests",
            Level.FAULT,
            "niquests is installed, whose urllib3-future takes the place of urllib3 and slows requests down",
            "Give the kit a virtual environment of its own, without niquests.",
        )


def check_kernel(find: Callable[[str], Any] | None = None) -> Iterator[Finding]:
    """See whether notebooks would run in this environment: a kernel of the same name elsewhere comes first.

    Args:
        find: returns the kernel specification of a name; by default Jupyter's own search.
    """
    if find is None:
        try:
            from jupyter_client.kernelspec import get_kernel_spec
        except ImportError:
            return
        find = get_kernel_spec
    try:
        spec = find("python3")
        python = spec.argv[0]
    except Exception as exc:
        # Jupyter's own error where there is none is a KeyError; its kernel.json may be broken in any way.
        yield Finding(
            "kernel",
            Level.FAULT,
            f"Jupyter finds no kernel that it can start ({_said(exc)})",
            f"In the virtual environment of the kit, {INSTALL}"
            if isinstance(exc, KeyError)
            else "Remove the folder of python3 that this command names: jupyter kernelspec list",
        )
        return
    # Jupyter itself puts the running interpreter in the place of a bare name.
    if re.fullmatch(r"python[\d.]*", python) or _same_interpreter(python):
        yield Finding("kernel", Level.OK, "notebooks run in this environment")
    else:
        yield Finding(
            "kernel",
            Level.FAULT,
            f"notebooks run with {python}",
            f"Remove or rename the kernel in {spec.resource_dir}, which hides the one of this environment.",
        )


def _same_interpreter(python: str) -> bool:
    # The last part may be a symbolic link out of the environment: python, python3 and python3.11 are one.
    return Path(python).absolute().parent == Path(sys.executable).absolute().parent


def check_loopback() -> Iterator[Finding]:
    """Let a client reach a server on 127.0.0.1."""
    try:
        _exchange(socket.AF_INET, "127.0.0.1")
    except OSError as exc:
        yield Finding(
            "loopback",
            Level.FAULT,
            f"a client cannot reach a server on 127.0.0.1 ({exc})",
            "Let the firewall or security software of this machine allow Python connections to 127.0.0.1.",
        )
    else:
        yield Finding("loopback", Level.OK, "a client reaches a server on 127.0.0.1")


def _exchange(family: socket.AddressFamily, host: str) -> None:
    """Send one byte from a client to a server.

    Raises:
        OSError: it did not arrive within the deadline.
    """
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.settimeout(DEADLINE)
        listener.bind((host, 0))
        listener.listen(1)
        with socket.create_connection(listener.getsockname()[:2], DEADLINE) as client:
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(DEADLINE)
                client.sendall(b"?")
                if accepted.recv(1) != b"?":
                    raise OSError("the connection was closed on the way")


def check_localhost(resolve: Callable[..., list[Any]] = socket.getaddrinfo) -> Iterator[Finding]:
    """See which address the name ``localhost`` stands for, and whether IPv6 has a loopback interface here."""
    hosts_file = r"C:\Windows\System32\drivers\etc\hosts" if sys.platform == "win32" else "/etc/hosts"
    try:
        answers = resolve("localhost", None, type=socket.SOCK_STREAM)
    except OSError as exc:
        yield Finding(
            "localhost",
            Level.FAULT,
            f"the name is unknown ({exc})",
            f"Add the line '127.0.0.1 localhost' to {hosts_file}.",
        )
        return
    addresses = list(dict.fromkeys(answer[4][0] for answer in answers))
    found = ", then ".join(addresses) + f"; IPv6 loopback {'works' if _has_ipv6() else 'is switched off'}"
    if any(address != "::1" and not address.startswith("127.") for address in addresses):
        yield Finding("localhost", Level.FAULT, found, f"Let localhost stand for 127.0.0.1 only, in {hosts_file}.")
    elif addresses[0] == "::1":
        yield Finding(
            "localhost",
            Level.WARNING,
            found,
            "Write 127.0.0.1 instead of localhost: the servers listen there, and clients try ::1 first.",
        )
    else:
        yield Finding("localhost", Level.OK, found)


def _has_ipv6() -> bool:
    try:
        _exchange(socket.AF_INET6, "::1")
    except OSError:
        return False
    return True


def check_proxies() -> Iterator[Finding]:
    """Ask ``requests`` and ``websockets`` where a local call goes: they read the settings differently."""
    caught = [
        f"{library} ({host})"
        for library, proxy_for in (("requests", _proxy_of_requests), ("websockets", _proxy_of_websockets))
        for host in ("127.0.0.1", "localhost")
        if proxy_for(host)
    ]
    if not caught:
        yield Finding("proxies", Level.OK, "local calls go straight to their server")
        return
    variables = sorted(name for name in os.environ if re.fullmatch(r"(http|https|all|socks|ws)_proxy", name, re.I))
    yield Finding(
        "proxies",
        Level.FAULT,
        f"{', '.join(variables) or 'system settings'} would send local calls to a proxy: {', '.join(caught)}",
        "Set the environment variable NO_PROXY to 127.0.0.1,localhost (or add these to it) before you start "
        "JupyterLab, pytest or a program.",
    )


def _proxy_of_requests(host: str) -> str | None:
    try:
        from requests.utils import get_environ_proxies, select_proxy
    except ImportError:
        return None
    url = f"http://{host}:5000/"
    return select_proxy(url, get_environ_proxies(url))


def _proxy_of_websockets(host: str) -> str | None:
    try:
        from websockets.proxy import get_proxy
        from websockets.uri import parse_uri
    except ImportError:
        return None
    return get_proxy(parse_uri(f"ws://{host}:8765/"))


def check_file_handles(limit: int | None = None) -> Iterator[Finding]:
    """Compare the number of files and sockets that a process may open with what the kit needs.

    Args:
        limit: the number; by default what the system says. Windows has none.
    """
    if limit is None:
        if sys.platform == "win32":
            return
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            limit = sys.maxsize
    found = "no limit" if limit == sys.maxsize else f"{limit} open files and sockets"
    if limit >= AMPLE_HANDLES:
        yield Finding("file handles", Level.OK, found)
    else:
        level = Level.WARNING if limit >= NEEDED_HANDLES else Level.FAULT
        yield Finding("file handles", level, found, "In the same shell, before anything else, run: ulimit -n 4096")


def check_event_loop(platform: str = sys.platform) -> Iterator[Finding]:
    """Tell what is different on Windows (Python's documentation, "asyncio: Platform Support")."""
    if platform == "win32":
        loop = asyncio.new_event_loop()
        loop.close()
        yield Finding(
            "event loop",
            Level.WARNING,
            f"{type(loop).__name__} on Windows, whose clock ticks each 15.6 ms",
            "Choose intervals well above 16 ms, and keep this loop: the selector loop ends at 512 sockets.",
        )


def check_ports(ports: Mapping[int, str] = DEFAULT_PORTS) -> Iterator[Finding]:
    """See whether the default ports of the article's servers can be had."""
    for port, purpose in ports.items():
        holder = _holder(port)
        if holder is None:
            yield Finding(f"port {port}", Level.OK, f"free for {purpose}")
        else:
            airplay = sys.platform == "darwin" and port == 5000
            yield Finding(
                f"port {port}",
                Level.WARNING,
                holder,
                "Switch off the AirPlay Receiver in the system settings, or choose another port."
                if airplay
                else f"Stop the program that holds it, or start {purpose} on another port.",
            )


def _holder(port: int) -> str | None:
    """Say why a port cannot be had, or return None."""
    for host in ("127.0.0.1", "localhost"):
        try:
            socket.create_connection((host, port), GLANCE).close()
        except OSError:
            continue
        return f"a program answers at {host}:{port}"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":
            # A server that has just ended does not count: asyncio's servers set this, too.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            return "a program holds it" if exc.errno == errno.EADDRINUSE else str(exc)
    return None


CHECKS: tuple[Callable[[], Iterable[Finding]], ...] = (
    check_python,
    check_packages,
    check_stand_ins,
    check_kernel,
    check_loopback,
    check_localhost,
    check_proxies,
    check_file_handles,
    check_event_loop,
    check_ports,
)


def report(findings: list[Finding]) -> None:
    """Print findings as a table, then what to do about them: unbroken lines, to copy from."""
    console = Console()
    table = Table("check", "", "found")
    for finding in findings:
        colour = COLOURS[finding.level]
        table.add_row(finding.check, f"[{colour}]{finding.level}[/{colour}]", escape(finding.found))
    console.print(table)
    for finding in findings:
        if finding.advice:
            console.print(f"{finding.level}, {finding.check}: {finding.advice}", soft_wrap=True, markup=False)
