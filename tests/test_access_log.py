"""uvicorn in a process of its own, with its access log."""

from __future__ import annotations

import subprocess

import httpx2
import pytest
from websockets.sync.client import connect

from wirelab.access_log import uvicorn_with_its_log
from wirelab.serving import ServeError


def test_logs_addresses_of_requests_and_of_websockets_and_ends() -> None:
    with uvicorn_with_its_log("wirelab.apps.echo:app") as server:
        httpx2.get(server.http + "/echo?message=one", trust_env=False)
        with connect(server.ws + "/echo?secret=two", proxy=None):
            pass
    log = "\n".join(server.lines)
    assert '"GET /echo?message=one HTTP/1.1" 200' in log
    assert '"WebSocket /echo?secret=two" [accepted]' in log
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(server.http, trust_env=False)


def test_says_why_it_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    with (
        pytest.raises(ServeError, match=r"did not start: .*no_such_module"),
        uvicorn_with_its_log("no_such_module:x"),
    ):
        pass
    assert started[0].poll() is not None
