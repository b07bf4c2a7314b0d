"""Formats give back what they were given, and their costs are counted right."""

from __future__ import annotations

import json
import random
from typing import Any

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from wirelab.formats import Format, compressed, cost_of, costs_of

PLAIN = Format(lambda message: json.dumps(message).encode(), json.loads)


def prices(count: int) -> list[dict[str, Any]]:
    rng = random.Random(1)
    return [{"symbol": "ACME", "seq": seq, "price": rng.random()} for seq in range(count)]


def test_what_is_compressed_comes_back():
    squeezed = compressed(PLAIN)
    for message in prices(50):
        assert squeezed.read(squeezed.write(message)) == message


def test_compression_is_that_of_a_websocket():
    squeezed = compressed(PLAIN)
    end = PerMessageDeflate(False, False, 12, 12, {"memLevel": 5})
    for message in prices(50):
        assert squeezed.write(message) == end.encode(Frame(Opcode.TEXT, PLAIN.write(message))).data


def test_bytes_are_an_average():
    assert cost_of(PLAIN, ["a", "abc"]).bytes == 4


def test_each_format_has_its_cost():
    costs = costs_of({"plain": PLAIN, "compressed": compressed(PLAIN)}, prices(100))
    assert list(costs) == ["plain", "compressed"]
    assert costs["compressed"].bytes < costs["plain"].bytes
    assert min(cost.seconds for cost in costs.values()) > 0
