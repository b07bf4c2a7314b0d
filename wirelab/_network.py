"""The path between two ends, in numbers, and paths that have a name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# Bytes that TCP puts in a packet of 1500: 40 for the headers of IP and TCP, 12 for time stamps (RFC 7323).
SEGMENT = 1448
# What a connection may have on its way at first (RFC 6928); each round trip doubles it (RFC 5681, section 3.1).
INITIAL_WINDOW = 10 * SEGMENT
# What a receiver announces on Linux before it has seen that much come within a round trip, and at most: of its
# buffer of 131,072 bytes, which then grows up to 6 MB (tcp_rmem), packets of 1500 bytes fill some 62 % with data.
FIRST_RECEIVE_WINDOW = 56 * SEGMENT
LARGEST_WINDOW = 2500 * SEGMENT
# Seconds; a longer delay is a mistake in the unit.
LONGEST_DELAY = 3.0


def in_packets(count: float) -> int:
    """Bytes that so many bytes take the place of: a packet that is not full fills its place."""
    return math.ceil(count / SEGMENT) * SEGMENT


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}={value!r} is no number.")
    return value


@dataclass(frozen=True)
class Network:
    """How far apart the two ends of a connection are.

    Attributes:
        delay: seconds from one end to the other.
        jitter: seconds by which that may be longer; how much is drawn evenly from 0 to `jitter`, and nothing
            overtakes.
        bandwidth: bytes a second in each direction, shared by all connections; None for no limit.

    Raises:
        ValueError: a number that no network has.
    """

    delay: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        for name, seconds in (("delay", self.delay), ("jitter", self.jitter)):
            if not 0 <= _number(name, seconds) <= LONGEST_DELAY:
                raise ValueError(
                    f"{name}={seconds!r} is out of range: it is in seconds, from 0 to {LONGEST_DELAY:g}. "
                    f"For 25 ms write {name}=0.025."
                )
        if self.bandwidth is not None and not 0 < _number("bandwidth", self.bandwidth) < math.inf:
            raise ValueError(
                f"bandwidth={self.bandwidth!r} is out of range: it is in bytes a second, more than 0. "
                "For 8 Mbit/s write bandwidth=1e6; leave it out for no limit."
            )

    @property
    def round_trip(self) -> float:
        """Seconds there and back, without jitter."""
        return 2 * self.delay

    @property
    def idle(self) -> bool:
        """Whether it does nothing at all."""
        return not (self.delay or self.jitter or self.bandwidth)

    @property
    def window(self) -> float:
        """Bytes that one direction of a connection may have on its way at most.

        Where there is a bandwidth, twice what the path holds, or what passes in ten milliseconds: the rest waits
        in front of it, as in a router with a queue of that length.
        """
        if self.bandwidth is None:
            return LARGEST_WINDOW
        path = self.bandwidth * max(2 * self.round_trip, 0.010)
        return min(LARGEST_WINDOW, max(INITIAL_WINDOW, in_packets(path)))

    def __str__(self) -> str:
        parts = [f"{1000 * self.delay:g} ms"]
        if self.jitter:
            parts.append(f"up to {1000 * self.jitter:g} ms more")
        if self.bandwidth:
            parts.append(f"{self.bandwidth / 1e6:g} MB/s")
        return ", ".join(parts)


@dataclass(frozen=True)
class Profile(Network):
    """A network with a name.

    Attributes:
        source: where its numbers are from.
    """

    source: str = ""


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "loopback": Profile(source="This machine: nothing is added."),
        "LAN": Profile(
            delay=0.000_15,
            jitter=0.000_1,
            bandwidth=125e6,
            source="One building: a round trip of 0.3 to 0.5 ms. Jeff Dean's 'Numbers Everyone Should Know' has "
            "0.5 ms within a data centre. Gigabit Ethernet (IEEE 802.3ab).",
        ),
        "city": Profile(
            delay=0.006,
            jitter=0.001,
            bandwidth=12.5e6,
            source="Fibre to the home, to a server in the region: a round trip of some 12 ms, of the order that "
            "the FCC's reports 'Measuring Broadband America' (2016, chart 7) show for fibre; 100 Mbit/s.",
        ),
        "ocean": Profile(
            delay=0.036,
            jitter=0.002,
            bandwidth=12.5e6,
            source="London to New York: 5,570 km of great circle are 54.5 ms there and back in glass (4.9 µs/km), "
            "and cables are longer; Verizon's service level agreement promises less than 90 ms.",
        ),
        "mobile": Profile(
            delay=0.035,
            jitter=0.010,
            bandwidth=1.5e6,
            source="LTE as WebPageTest emulates it: a round trip of 70 ms, 12 Mbit/s each way. The jitter is an "
            "estimate: a cell hands out its air time in turns.",
        ),
        "satellite": Profile(
            delay=0.280,
            jitter=0.010,
            bandwidth=3e6,
            source="One hop over a geostationary satellite: a round trip of 558 ms (RFC 2488, section 2) for "
            "ground stations at the edge of its view; 25 Mbit/s, the FCC's definition of broadband of 2015.",
        ),
    }
)


def network_of(profile: str | None, delay: float | None, jitter: float | None, bandwidth: float | None) -> Network:
    """The network with this name, or the one of these numbers; a number given beside a name stands in for its own.

    Raises:
        ValueError: there is no such profile, or a number is out of range.
    """
    if profile is not None and profile not in PROFILES:
        raise ValueError(f"There is no profile {profile!r}: take one of {', '.join(PROFILES)}.")
    base = PROFILES[profile] if profile is not None else Network()
    return Network(
        base.delay if delay is None else delay,
        base.jitter if jitter is None else jitter,
        base.bandwidth if bandwidth is None else bandwidth,
    )
