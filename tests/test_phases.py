"""The parts of a request are told apart, checked against waits that were made on purpose."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterator

import pytest
import trustme
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from wirelab import Server, serve
from wirelab.phases import Parts, parts_of_requests, typical


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve("wirelab.apps.echo:app", process=True) as running:
        yield running
        assert running.errors == []


def test_the_applications_work_is_the_servers_part(server: Server) -> None:
    first, second = parts_of_requests(f"{server.http}/report?work=0.1")
    for parts in (first, second):
        assert 0.1 <= parts.server < parts.total
        # What is left is loopback; half of the wait would be a very busy machine.
        assert parts.way + parts.response < 0.1


def test_only_the_first_request_opens_a_connection(server: Server) -> None:
    first, *rest = parts_of_requests(f"http://localhost:{server.port}/report", 3)
    assert first.look_up > 0
    assert first.connect > 0
    assert [parts[:3] for parts in rest] == [(0.0, 0.0, 0.0)] * 2


def test_the_parts_are_the_whole(server: Server) -> None:
    started = time.perf_counter()
    [parts] = parts_of_requests(f"{server.http}/report?work=0.05&size=100000", 1)
    assert 0.05 < parts.total < time.perf_counter() - started
    assert all(part >= 0 for part in parts)


def test_tls_is_a_part_of_the_first_request_only() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with (
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.tempfile() as pem,
        serve("wirelab.apps.echo:app", ssl_certfile=pem) as secure,
    ):
        url = f"https://localhost:{secure.port}/report"
        first, second = parts_of_requests(url, context=context)
        assert first.tls > 10 * second.tls == 0.0
        with pytest.raises(ssl.SSLCertVerificationError):
            parts_of_requests(url)


def test_an_answer_without_the_servers_time_is_refused() -> None:
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("hello"))])
    with serve(app) as server, pytest.raises(ValueError, match="Server-Timing"):
        parts_of_requests(server.http + "/")


def test_typical_is_the_median_of_each_part() -> None:
    requests = [Parts(*(float(number * place) for place in range(7))) for number in (1, 2, 9)]
    assert typical(requests) == Parts(*(2.0 * place for place in range(7)))
    assert math.isclose(typical(requests).total, 42.0)
