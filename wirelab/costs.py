"""What following a feed costs on the wire, reckoned from what was measured: which way is cheapest where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .measure import Record

# Bytes of a packet's own headers: 20 for IP (RFC 791) and 20 for TCP (RFC 9293), without options.
PACKET = 40
# A request, its answer, and the acknowledgement of that.
PACKETS_OF_A_POLL = 3
# A message, and its acknowledgement.
PACKETS_OF_A_PUSH = 2
# An open connection is probed, or a proxy on the way forgets it: seconds between two probes (what the libraries do
# by default), and the bytes of a ping, its pong and their three packets.
HEARTBEAT = 20.0
HEARTBEAT_BYTES = 8 + 3 * PACKET
# Seconds after which a long poll is answered without news, and asked anew.
LONG_POLL = 30.0


@dataclass(frozen=True)
class Costs:
    """Bytes in both directions, headers of packets left out.

    Attributes:
        question: for a poll that brings nothing.
        carried: for each update in a poll's answer.
        pushed: for an update, by the name of the way of push.
    """

    question: float
    carried: float
    pushed: Mapping[str, float]

    def bytes_a_second(self, rate: float, age: float) -> dict[str, float]:
        """What each way costs, headers of packets included, to keep a client so well informed.

        Args:
            rate: updates a second.
            age: seconds that an update may be old on average; a poller's interval is twice that.
        """
        poll = self.question + PACKETS_OF_A_POLL * PACKET
        heartbeat = HEARTBEAT_BYTES / HEARTBEAT
        return {
            "polling": poll / (2 * age) + rate * self.carried,
            "long polling": (rate + 1 / LONG_POLL) * poll + rate * self.carried,
            **{
                name: rate * (pushed + PACKETS_OF_A_PUSH * PACKET) + heartbeat
                for name, pushed in self.pushed.items()
            },
        }

    def cheapest(self, rate: float, age: float) -> str:
        """The name of the way that costs least; see `bytes_a_second`."""
        costs = self.bytes_a_second(rate, age)
        return min(costs, key=costs.__getitem__)


def costs_of(polls: Iterable[Record], pushes: Mapping[str, Record]) -> Costs:
    """Reckon the costs from what contenders have used.

    Args:
        polls: runs of pollers of which some brought many updates in an answer and some few: what a question and
            what an update costs is fitted to them by least squares.
        pushes: a run of each way of push.
    """
    seen = list(polls)
    parts = np.array([[run.requests, run.brought] for run in seen], dtype=float)
    used = np.array([run.sent + run.received for run in seen], dtype=float)
    question, carried = np.linalg.lstsq(parts, used, rcond=None)[0]
    return Costs(float(question), float(carried), {name: run.bytes_per_update for name, run in pushes.items()})
