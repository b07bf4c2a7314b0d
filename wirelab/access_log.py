"""uvicorn as people start it from a shell, with the access log that it writes unless told otherwise."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .serving import ServeError

# Seconds within which it has to be ready, and to end when it is told to.
PATIENCE = 20.0
READY = re.compile(r"Uvicorn running on http://(127\.0\.0\.1:\d+)")


class Logged:
    """A running uvicorn.

    Attributes:
        http, ws: base URLs without a trailing slash.
        lines: what it has logged; all of it once it has ended.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self.http = self.ws = ""
        self._process = process
        self._settled = threading.Event()
        self._reader = threading.Thread(target=self._read, name="wirelab access log", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as log:
            for line in log:
                self.lines.append(line.rstrip())
                if ready := READY.search(line):
                    self.http, self.ws = f"http://{ready[1]}", f"ws://{ready[1]}"
                    self._settled.set()
        self._settled.set()

    def wait(self) -> None:
        """Wait until it is ready. Raise `ServeError` if it ended, or took too long."""
        self._settled.wait(PATIENCE)
        if not self.http:
            raise ServeError(f"uvicorn did not start: {(self.lines or ['no word'])[-1]}.")

    def end(self) -> None:
        """End it, and read the rest of its log."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE)


@contextmanager
def uvicorn_with_its_log(app: str) -> Iterator[Logged]:
    """Run ``python -m uvicorn APP`` on a free port of 127.0.0.1, and yield it when it is ready.

    Args:
        app: an ASGI application as uvicorn takes it, ``"package.module:attribute"``.

    Raises:
        ServeError: it did not start.
    """
    command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "0", "--no-use-colors"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    logged = Logged(process)
    try:
        logged.wait()
        yield logged
    finally:
        logged.end()
