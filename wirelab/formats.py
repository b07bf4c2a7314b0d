"""What a message takes in one format or another: bytes on the wire, and time to write and read it."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

# How often all messages are written and read; the quickest counts, as others were disturbed.
REPEATS = 5
# What ends each message that is compressed; it is left out on the wire (RFC 7692, section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"


class Format(NamedTuple):
    """How to write a message and how to read it, which are called by turns."""

    write: Callable[[Any], bytes]
    read: Callable[[bytes], object]


class Cost(NamedTuple):
    """What one message takes on average.

    Attributes:
        bytes: as it is sent, without a frame.
        seconds: to write it and to read it.
    """

    bytes: float
    seconds: float


def compressed(plain: Format) -> Format:
    """Compress what a format writes as a WebSocket does whose ends agreed on permessage-deflate (RFC 7692).

    One dictionary lives as long as the connection: what was said before need not be said again. Windows and memory
    are those of the websockets library.
    """
    deflate, inflate = zlib.compressobj(wbits=-12, memLevel=5), zlib.decompressobj(wbits=-12)

    def write(message: Any) -> bytes:
        data = deflate.compress(plain.write(message)) + deflate.flush(zlib.Z_SYNC_FLUSH)
        return data.removesuffix(_TAIL)

    return Format(write, lambda data: plain.read(inflate.decompress(data + _TAIL)))


def cost_of(style: Format, messages: Sequence[Any]) -> Cost:
    """Write and read every message in turn, and return what one takes."""

    def once() -> tuple[float, int]:
        start, count = time.perf_counter(), 0
        for message in messages:
            data = style.write(message)
            style.read(data)
            count += len(data)
        return time.perf_counter() - start, count

    # The first time fills a dictionary and warms everything up.
    _, count = once()
    return Cost(count / len(messages), min(once()[0] for _ in range(REPEATS)) / len(messages))


def costs_of(formats: Mapping[str, Format], messages: Sequence[Any]) -> dict[str, Cost]:
    """What one of the messages takes in each format."""
    return {name: cost_of(style, messages) for name, style in formats.items()}
