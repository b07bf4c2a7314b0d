"""A bare server hands each connection to a function, and leaves nothing behind."""

from __future__ import annotations

import socket
import threading

import pytest
from serving_support import Leftovers, is_free

from wirelab.bare_server import listening
from wirelab.clients import connected


def echo(connection: socket.socket) -> None:
    while data := connection.recv(4096):
        connection.sendall(data)


def test_several_clients_are_served_at_once() -> None:
    with listening(echo) as url, connected(url) as one, connected(url) as other:
        for client, said in ((one, b"hello"), (other, b"bye"), (one, b"again")):
            client.sendall(said)
            assert client.recv(100) == said


def test_it_ends_while_clients_are_connected_and_leaves_nothing_behind() -> None:
    leftovers = Leftovers()
    with listening(echo) as url:
        client = connected(url)
        client.sendall(b"hello")
        client.recv(100)
    assert client.recv(100) == b""
    client.close()
    assert is_free(int(url.rpartition(":")[2]))
    leftovers.check()


def test_a_client_that_left_is_no_fault_but_what_the_function_raises_is() -> None:
    def write(connection: socket.socket) -> None:
        while True:
            connection.sendall(bytes(100_000))

    with listening(write) as url:
        connected(url).close()

    raised = threading.Event()

    def fail(connection: socket.socket) -> None:
        raised.set()
        raise LookupError("no such thing")

    with pytest.raises(LookupError), listening(fail) as url, connected(url):
        assert raised.wait(10)
