from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from wirelab.cli import app

interruptible = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no Ctrl+C for one process among others"
)


@contextmanager
def serving(*arguments: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run ``wirelab serve`` in a folder; yield the process and its port, and make sure that it ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "wirelab", "serve", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A suite that itself runs in the background may have been told to ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    try:
        port = next(
            int(found[1]) for line in process.stdout if (found := re.search(r"at http://127\.0\.0\.1:(\d+)", line))
        )
        yield process, port
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def interrupt(process: subprocess.Popen[str]) -> str:
    """Press Ctrl+C, and return what the command printed since it was ready."""
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    return output


@interruptible
def test_serve_an_application_of_the_kit_until_ctrl_c(tmp_path: Path) -> None:
    with serving("wirelab.apps.todos:app", folder=tmp_path) as (process, port):
        answer = requests.get(f"http://127.0.0.1:{port}/todos", timeout=10)
        assert answer.status_code == 200
        assert "GET /todos 200" in interrupt(process)
        assert process.returncode == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5).close()


@interruptible
def test_serve_a_learners_own_handler_and_show_where_it_failed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "async def handler(connection):\n"
        "    await connection.send('ready')\n"
        "    raise ValueError('a mistake in my handler')\n"
    )
    with serving("mine:handler", folder=tmp_path) as (process, port):
        with connect(f"ws://127.0.0.1:{port}", proxy=None) as websocket:
            assert websocket.recv(timeout=10) == "ready"
            with pytest.raises(ConnectionClosedError):
                websocket.recv(timeout=10)
        output = interrupt(process)
    assert "mine.py" in output
    assert "ValueError: a mistake in my handler" in output
    assert process.returncode == 0


@pytest.fixture
def own_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Undo what the command does to the import path of this process."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("own_path")
@pytest.mark.parametrize("target", ["no_such_module:app", "wirelab.apps.todos:no_such_app", "wirelab.apps.todos"])
def test_serve_what_cannot_be_imported(target: str) -> None:
    result = CliRunner().invoke(app, ["serve", target])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert target.partition(":")[0] in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("own_path")
def test_serve_on_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "wirelab.apps.todos:app", "--port", str(port)])
    assert result.exit_code == 1
    assert f"port {port} is taken" in result.stderr


def test_wrong_call_has_status_2() -> None:
    assert CliRunner().invoke(app, ["serve", "wirelab.apps.todos:app", "--port", "70000"]).exit_code == 2
    assert CliRunner().invoke(app, ["no-such-command"]).exit_code == 2


def test_commands_import_late_what_is_heavy() -> None:
    code = "import sys, wirelab.cli; print({'fastapi', 'jupyter_client', 'matplotlib', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"


def test_console_script_is_installed() -> None:
    command = Path(sys.executable).with_name("wirelab.exe" if os.name == "nt" else "wirelab")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "doctor" in done.stdout
    assert "serve" in done.stdout
