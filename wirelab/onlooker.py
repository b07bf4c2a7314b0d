"""What somebody on the way can read of an exchange, encrypted or not: words, a server's name, turns."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import groupby

from ._exchange import Conversation, Exchange, Message

# The header of a TLS record, and of a message of the handshake in it (RFC 8446, sections 5.1 and 4).
RECORD, HANDSHAKE = 5, 4
# The first byte of a record of the handshake, and of a client hello in it.
HANDSHAKE_RECORD, CLIENT_HELLO = 22, 1
# A version and 32 random bytes stand before the first field of a client hello (section 4.1.2).
BEFORE_SESSION = 2 + 32
# The extension of TLS that names the server, and the kind of name that is a host's (RFC 6066, section 3).
SERVER_NAME, HOST_NAME = 0, 0


def readable(exchange: Exchange, *words: str) -> list[str]:
    """Return those of the words that stand in some message as it went over the wire; compression hides none."""
    seen = [message.data for message in exchange.messages]
    return [word for word in words if any(word.encode() in data for data in seen)]


def server_names(exchange: Exchange) -> list[str]:
    """Return the name of the server that each client asked for before anything was encrypted (RFC 6066).

    Who connects to a bare address names none.
    """
    hellos = [m.data for m in exchange.messages if m.kind == "tls" and m.sender == "client" and _is_hello(m.data)]
    return [name for hello in hellos if (name := _name_in(hello))]


def round_trips(conversation: Conversation) -> int:
    """Count how often the client waited: how many times it spoke, and the server after it.

    Opening the TCP connection is one more. Over a link without delay a client may speak again before it has read
    all, and be counted twice.
    """
    spoken = [message for message in conversation.messages if message.size]
    return [sender for sender, _ in groupby(spoken, key=lambda message: message.sender)].count("server")


def titles(messages: Iterable[Message], *, sizes: bool = False) -> list[str]:
    """Return each message's sender and title, those of TLS without their sizes, neighbours alike only once."""
    lines = [
        f"{message.sender}: {message.title if sizes or message.kind != 'tls' else message.title.partition(',')[0]}"
        for message in messages
        if message.size
    ]
    return [line for line, _ in groupby(lines)]


def _is_hello(record: bytes) -> bool:
    return record[0] == HANDSHAKE_RECORD and record[RECORD] == CLIENT_HELLO


def _name_in(hello: bytes) -> str:
    """The server's name in a record that holds a client hello, "" if there is none."""
    place = RECORD + HANDSHAKE + BEFORE_SESSION
    # Session, cipher suites and compression methods, each behind its length.
    for size in ("!B", "!H", "!B"):
        (length,) = struct.unpack_from(size, hello, place)
        place += struct.calcsize(size) + length
    (length,) = struct.unpack_from("!H", hello, place)
    place += 2
    end = min(place + length, len(hello))
    while place + 4 <= end:
        kind, length = struct.unpack_from("!HH", hello, place)
        place += 4
        if kind == SERVER_NAME and hello[place + 2] == HOST_NAME:
            (size_of_name,) = struct.unpack_from("!H", hello, place + 3)
            return hello[place + 5 : place + 5 + size_of_name].decode()
        place += length
    return ""
