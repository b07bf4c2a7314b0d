"""Clients of a feed whose network is cut for a while: what each of them got, and what it never heard of.

Messages are those of `wirelab.apps.reliable_feed`: each update has a number, `seq`, and a gap names the numbers
that are lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

from .link import Link

# Seconds from the beginning until the cut, for which the network stays away, and until nobody reads any more.
CUT, AWAY, READING = 0.4, 0.5, 1.6


class Received(NamedTuple):
    """What a client got.

    Attributes:
        updates: when each update came, in seconds from the beginning, and its number.
        gaps: how many updates were lost, each time that the client was told of a gap.
    """

    updates: list[tuple[float, int]]
    gaps: list[int]

    @property
    def missed(self) -> int:
        """How many numbers between the first and the last never came."""
        numbers = {number for _, number in self.updates}
        return max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0

    @property
    def in_order(self) -> bool:
        """Whether each number was greater than the one before, so that none came twice."""
        return all(earlier < later for (_, earlier), (_, later) in pairwise(self.updates))


async def through_a_cut(link: Link, *streams: AsyncIterable[Mapping[str, Any]]) -> list[Received]:
    """Read streams of messages that come over a link, and meanwhile cut it: reset, then refuse for a while."""
    received, _ = await asyncio.gather(asyncio.gather(*map(_read, streams)), _cut(link))
    return received


async def _cut(link: Link) -> None:
    await asyncio.sleep(CUT)
    link.refuse()
    link.reset()
    await asyncio.sleep(AWAY)
    link.accept()


async def _read(stream: AsyncIterable[Mapping[str, Any]]) -> Received:
    received, start = Received([], []), time.perf_counter()
    with suppress(TimeoutError):
        async with asyncio.timeout(READING):
            async for message in stream:
                if message["type"] == "update":
                    received.updates.append((time.perf_counter() - start, int(message["seq"])))
                elif message["type"] == "gap":
                    received.gaps.append(int(message["seq"]) - int(message["after"]))
    return received
