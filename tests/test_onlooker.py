"""What an onlooker reads of an exchange, with TLS and without."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx2
import pytest
import trustme

from wirelab import Link, Server, serve
from wirelab.onlooker import readable, round_trips, server_names, titles

ECHO = "wirelab.apps.echo:app"


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    with serve(ECHO, name="plain echo") as server:
        yield server
        assert server.errors == []


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(authority: trustme.CA) -> Iterator[Server]:
    issued = authority.issue_cert("localhost", "127.0.0.1")
    with (
        issued.private_key_and_cert_chain_pem.tempfile() as pem,
        serve(ECHO, name="secure echo", ssl_certfile=pem) as server,
    ):
        yield server
        assert server.errors == []


@pytest.fixture(scope="module")
def web(authority: trustme.CA) -> Iterator[httpx2.Client]:
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with httpx2.Client(verify=trust, trust_env=False, timeout=10) as client:
        yield client


def test_reads_plain_words(plain: Server, web: httpx2.Client) -> None:
    with Link(plain) as link:
        web.get(link.http + "/echo?message=swordfish")
        said = link.exchange()
    assert readable(said, "swordfish", "trout") == ["swordfish"]
    assert server_names(said) == []
    assert titles(said.messages)[0] == "client: GET /echo?message=swordfish HTTP/1.1"


def test_reads_of_tls_only_the_servers_name(secure: Server, web: httpx2.Client) -> None:
    with Link(secure) as link:
        web.get(f"https://localhost:{link.port}/echo?message=swordfish")
        said = link.exchange()
    assert readable(said, "swordfish") == []
    assert server_names(said) == ["localhost"]


def test_a_bare_address_names_no_server(secure: Server, web: httpx2.Client) -> None:
    with Link(secure) as link:
        web.get(link.http + "/echo")
        assert server_names(link.exchange()) == []


def test_counts_how_often_the_client_waits(plain: Server, secure: Server, web: httpx2.Client) -> None:
    waits = {}
    for name, server in (("plain", plain), ("secure", secure)):
        with Link(server, delay=0.1) as link:
            web.get(link.http + "/echo")
            waits[name, 1] = round_trips(link.exchange().conversations[0])
            web.get(link.http + "/echo")
            waits[name, 2] = round_trips(link.exchange().conversations[0])
    assert waits == {("plain", 1): 1, ("plain", 2): 2, ("secure", 1): 2, ("secure", 2): 3}


def test_titles_of_tls_have_no_sizes_unless_asked_for(secure: Server, web: httpx2.Client) -> None:
    with Link(secure) as link:
        web.get(link.http + "/echo")
        messages = link.exchange().messages
    assert titles(messages)[0] == "client: TLS client hello"
    assert titles(messages, sizes=True)[0].startswith("client: TLS client hello, ")
