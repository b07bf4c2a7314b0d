"""From what one worker was measured to need to a number of clients: a model with its assumptions and its doubt.

The measured costs are one machine's; everything else is assumed, and written down in `Assumptions`. What comes out
is the order of magnitude of a bill, not the bill.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .stats import Estimate


class Measured(NamedTuple):
    """What one connection costs a worker.

    Attributes:
        memory: bytes, resident.
        opening: seconds of processor time for the opening handshake and what belongs to it.
        ping: the same for a ping and its pong.
        message: the same for a message to one client.
    """

    memory: Estimate
    opening: Estimate
    ping: Estimate
    message: Estimate


@dataclass(frozen=True)
class Assumptions:
    """What was not measured. Change any of it.

    Attributes:
        messages: to each client, in a second.
        size: bytes of a message on the wire, headers of packets included.
        ping_every: seconds.
        stays: seconds until a client leaves and comes again.
        room: members that get the same message.
        kernel: bytes that the system keeps for a socket, besides the worker's own.
        machine_memory: bytes of a machine.
        machine_cores: of a machine.
        machine_handles: open files of a machine.
        machine_network: bytes that it can send in a second.
        busy: share of each of these that is planned for: the rest is for bad moments.
        spare: machines more than needed, so that one may fail.
        broker: messages that one broker hands to workers in a second.
        doubt: the factor by which all of this may be wrong, both ways.
    """

    messages: float = 0.1
    size: float = 200
    ping_every: float = 20
    stays: float = 600
    room: float = 50
    kernel: float = 10_000
    machine_memory: float = 16e9
    machine_cores: float = 8
    machine_handles: float = 1e6
    machine_network: float = 1.25e9
    busy: float = 0.5
    spare: int = 1
    broker: float = 100_000
    doubt: float = 2.0


class Plan(NamedTuple):
    """What so many clients take. Each has its error bars: those of the measurement times the doubt.

    Attributes:
        clients: how many.
        memory: bytes.
        cores: kept as busy as is planned, so workers too: one is at most one core.
        machines: the least that is enough for everything, without spare ones, not rounded.
        brokers: that are kept busy as planned.
        reopening: seconds until all are back, if all of it goes down at once.
    """

    clients: float
    memory: Estimate
    cores: Estimate
    machines: Estimate
    brokers: Estimate
    reopening: Estimate

    def rounded(self, assumptions: Assumptions) -> Estimate:
        """Machines to order, spare ones included."""
        return Estimate(*(math.ceil(count) + assumptions.spare for count in self.machines))


def plan(clients: float, measured: Measured, assumed: Assumptions) -> Plan:
    """Reckon what so many clients take."""
    memory = _each(lambda m: clients * (m + assumed.kernel), measured.memory)
    work = Estimate(
        *(
            clients * (message * assumed.messages + ping / assumed.ping_every + opening / assumed.stays)
            for message, ping, opening in zip(measured.message, measured.ping, measured.opening, strict=True)
        )
    )
    cores = _each(lambda seconds: seconds / assumed.busy, work)
    fixed = max(
        clients / (assumed.busy * assumed.machine_handles),
        clients * assumed.messages * assumed.size / (assumed.busy * assumed.machine_network),
    )
    machines = Estimate(
        *(
            max(m / (assumed.busy * assumed.machine_memory), c / assumed.machine_cores, fixed)
            for m, c in zip(memory, cores, strict=True)
        )
    )
    # A message goes once to each worker that has a member of its room; a worker is one core.
    posts = clients * assumed.messages / assumed.room
    brokers = _each(lambda c: posts * min(assumed.room, max(1.0, c)) / (assumed.busy * assumed.broker), cores)
    # The more machines there are, the sooner all are back: the shortest time is that of the most machines.
    reopening = Estimate(
        *(
            clients * opening / max(1.0, machine * assumed.machine_cores)
            for opening, machine in zip(
                measured.opening, (machines.value, machines.high, machines.low), strict=True
            )
        )
    )
    doubted = (_doubted(each, assumed.doubt) for each in (memory, cores, machines, brokers, reopening))
    return Plan(clients, *doubted)


def reaches(
    measured: Measured, assumed: Assumptions, need: Callable[[Plan], Estimate], limit: float = 1.0
) -> Estimate:
    """The number of clients at which a need reaches a limit, with its error bars; at most 10¹²."""
    found = []
    # The more is needed, the fewer clients it takes to get there.
    for bound in ("value", "high", "low"):
        low, high = 1.0, 1e12
        while high / low > 1.001:
            middle = math.sqrt(low * high)
            short = getattr(need(plan(middle, measured, assumed)), bound) < limit
            low, high = (middle, high) if short else (low, middle)
        found.append(high)
    return Estimate(*found)


def borders(measured: Measured, assumed: Assumptions) -> dict[str, Estimate]:
    """The numbers of clients from which on a kind of engine is needed, with error bars."""
    return {
        "a proxy in front": reaches(measured, assumed, lambda p: p.cores),
        "several machines": reaches(measured, assumed, lambda p: p.machines),
        "several brokers": reaches(measured, assumed, lambda p: p.brokers),
    }


def _each(function: Callable[[float], float], estimate: Estimate) -> Estimate:
    return Estimate(*(function(value) for value in estimate))


def _doubted(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(estimate.value, estimate.low / factor, estimate.high * factor)
