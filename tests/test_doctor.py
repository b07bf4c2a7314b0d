from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wirelab import doctor
from wirelab.doctor import Finding, Level

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def only(findings: Iterable[Finding]) -> Finding:
    """Return the single finding; a fault or warning has to say what to do, in one sentence."""
    (finding,) = findings
    assert bool(finding.advice) == (finding.level is not Level.OK)
    assert ". " not in finding.advice
    return finding


@pytest.mark.parametrize(
    ("version", "level"), [((3, 10, 14), Level.FAULT), ((3, 11, 0), Level.OK), ((3, 14, 2), Level.OK)]
)
def test_python_has_a_floor(version: tuple[int, ...], level: Level) -> None:
    assert only(doctor.check_python(version)).level is level


def test_packages_as_the_kit_declares_them() -> None:
    assert only(doctor.check_packages()).level is Level.OK


def test_packages_missing_and_too_old() -> None:
    missing, old = doctor.check_packages(["surely-not-there>=2", "pytest<1", "rich"])
    assert missing.level is old.level is Level.FAULT
    assert missing.found == "surely-not-there>=2 is missing"
    assert old.found == f"pytest {pytest.__version__}, but pytest<1 is needed"
    assert "pip install -r requirements.txt" in old.advice


def test_packages_of_other_platforms_and_for_developers_are_not_needed() -> None:
    others = ["surely-not-there; sys_platform == 'other'", "surely-not-there; extra == 'dev'"]
    assert only(doctor.check_packages(others)).level is Level.OK
    assert only(doctor.check_packages(["surely-not-there; extra == 'test'"])).level is Level.FAULT


@pytest.mark.parametrize("name", ["niquests", "urllib3-future"])
def test_packages_in_the_place_of_urllib3(name: str) -> None:
    assert only(doctor.check_stand_ins({"requests", name})).level is Level.FAULT
    assert only(doctor.check_stand_ins({"requests", "urllib3"})).level is Level.OK


@pytest.mark.parametrize(
    ("python", "level"),
    [
        (sys.executable, Level.OK),
        ("python3", Level.OK),
        (str(Path(sys.prefix).parent / "elsewhere" / "bin" / "python"), Level.FAULT),
    ],
)
def test_kernel_of_another_environment(python: str, level: Level) -> None:
    spec = SimpleNamespace(argv=[python, "-m", "ipykernel_launcher"], resource_dir="kernels/python3")
    assert only(doctor.check_kernel(lambda name: spec)).level is level


@pytest.mark.parametrize(
    ("fault", "advice"),
    [(KeyError("python3"), "pip install"), (ValueError("no JSON"), "jupyter kernelspec list")],
)
def test_kernel_that_cannot_be_started(fault: Exception, advice: str) -> None:
    def find(name: str) -> SimpleNamespace:
        raise fault

    finding = only(doctor.check_kernel(find))
    assert finding.level is Level.FAULT
    assert advice in finding.advice


def test_check_that_breaks_keeps_nobody_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_first_thing() -> Iterator[Finding]:
        yield Finding("before", Level.OK, "seen")
        raise LookupError("a bug")

    monkeypatch.setattr(doctor, "CHECKS", (check_first_thing, doctor.check_python))
    before, broke, after = doctor.examine()
    assert before.found == "seen"
    assert (broke.check, broke.level) == ("first thing", Level.FAULT)
    assert "LookupError: a bug" in broke.found
    assert after.check == "python"


def test_loopback() -> None:
    assert only(doctor.check_loopback()).level is Level.OK


def resolver(*addresses: str) -> Callable[..., list[Any]]:
    return lambda *_, **__: [(None, None, None, "", (address, 0)) for address in addresses]


@pytest.mark.parametrize(
    ("addresses", "level"),
    [
        (["127.0.0.1"], Level.OK),
        (["127.0.0.1", "::1"], Level.OK),
        (["::1", "127.0.0.1"], Level.WARNING),
        (["203.0.113.7"], Level.FAULT),
    ],
)
def test_localhost_and_what_it_stands_for(addresses: list[str], level: Level) -> None:
    assert only(doctor.check_localhost(resolver(*addresses))).level is level


def test_localhost_unknown() -> None:
    def unknown(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    finding = only(doctor.check_localhost(unknown))
    assert finding.level is Level.FAULT
    assert "127.0.0.1 localhost" in finding.advice


@pytest.mark.parametrize(
    ("settings", "caught"),
    [
        ({}, []),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, ["requests", "websockets"]),
        ({"http_proxy": "http://proxy.example:3128", "no_proxy": "localhost,127.0.0.1"}, []),
        ({"ALL_PROXY": "socks5://proxy.example:1080"}, ["requests"]),
        # A range of addresses is something that only requests understands.
        ({"HTTP_PROXY": "http://proxy.example:3128", "NO_PROXY": "localhost,127.0.0.0/8"}, ["websockets"]),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, ["websockets"]),
    ],
)
def test_proxies_that_would_catch_local_calls(
    settings: dict[str, str], caught: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    finding = only(doctor.check_proxies())
    assert finding.level is (Level.FAULT if caught else Level.OK)
    assert [library for library in ("requests", "websockets") if f"{library} (127" in finding.found] == caught


@pytest.mark.parametrize(
    ("limit", "level"),
    [(64, Level.FAULT), (256, Level.WARNING), (1024, Level.OK), (sys.maxsize, Level.OK)],
)
def test_file_handles(limit: int, level: Level) -> None:
    assert only(doctor.check_file_handles(limit)).level is level


def test_event_loop_is_remarked_upon_only_on_windows() -> None:
    assert list(doctor.check_event_loop("linux")) == []
    assert only(doctor.check_event_loop("win32")).level is Level.WARNING


@pytest.fixture
def bound_socket() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def test_port_with_a_server(bound_socket: socket.socket) -> None:
    bound_socket.listen()
    port = bound_socket.getsockname()[1]
    finding = only(doctor.check_ports({port: "a server"}))
    assert finding.level is Level.WARNING
    assert finding.found == f"a program answers at 127.0.0.1:{port}"


def test_port_that_is_held_and_then_free(bound_socket: socket.socket) -> None:
    port = bound_socket.getsockname()[1]
    assert only(doctor.check_ports({port: "a server"})).found == "a program holds it"
    bound_socket.close()
    assert only(doctor.check_ports({port: "a server"})).level is Level.OK


def run_doctor(folder: Path, *, shell: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an environment without proxies and foreign kernels, but with some settings."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment = {**kept, "COLUMNS": "200", "JUPYTER_PATH": str(folder), **settings}
    command = [sys.executable, "-m", "wirelab", "doctor"]
    return subprocess.run(
        ["sh", "-c", f"{shell}; exec {shlex.join(command)}"] if shell else command,
        env=environment,
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_command_where_all_is_well_and_the_console_knows_no_unicode(tmp_path: Path) -> None:
    done = run_doctor(tmp_path, PYTHONIOENCODING="ascii")
    assert done.stderr == ""
    assert "fault" not in done.stdout
    assert "all in the range that the kit needs" in done.stdout
    assert done.returncode == 0


def test_command_behind_a_proxy(tmp_path: Path) -> None:
    done = run_doctor(tmp_path, HTTP_PROXY="http://user:secret@proxy.example:3128")
    assert "HTTP_PROXY would send local calls to a proxy" in done.stdout
    assert "fault, proxies: Set the environment variable NO_PROXY to 127.0.0.1,localhost" in done.stdout
    assert "secret" not in done.stdout
    assert done.returncode == 1


@posix_only
def test_command_with_few_file_handles(tmp_path: Path) -> None:
    done = run_doctor(tmp_path, shell="ulimit -S -n 64")
    assert "64 open files and sockets" in done.stdout
    assert "fault, file handles: In the same shell, before anything else, run: ulimit -n 4096" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"argv": []}'])
def test_command_where_the_kernel_is_broken(text: str, tmp_path: Path) -> None:
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(text)
    done = run_doctor(tmp_path)
    assert "fault, kernel: " in done.stdout
    assert "all in the range that the kit needs" in done.stdout
    assert done.returncode == 1


def test_command_where_another_python_takes_the_notebooks(tmp_path: Path) -> None:
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    python = str(tmp_path / "bin" / "python")
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": [python, "-f", "{connection_file}"], "display_name": "Python 3", "language": "python"})
    )
    done = run_doctor(tmp_path)
    assert f"notebooks run with {python}" in done.stdout
    assert f"fault, kernel: Remove or rename the kernel in {kernel}" in done.stdout
    assert done.returncode == 1
