"""Experiments: how long a round trip takes, and how old, complete and costly updates are when they arrive.

Everything is timed with `time.perf_counter`, whose zero is the same for all processes of one machine: so an
update that carries the moment it was made tells its age on arrival. The feed is `wirelab.apps.feed`, which is
told when to emit; bytes are those that the clients hand to TCP and get from it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, NamedTuple, TypeVar

import numpy as np
import requests
from websockets.sync.client import connect

from ._connections import Http, Wire
from ._followers import (
    Client,
    Contender,
    EventStream,
    LongPoll,
    Poll,
    PollLatest,
    Sighting,
    StartingLine,
    WebSocketPush,
    Window,
)
from .progress import progress
from .schedules import Schedule, Surveys, at_random, in_step, over_the_phase
from .serving import Server, base_url
from .stats import Estimate, Floats, replicate_interval

__all__ = [
    "Call",
    "Contender",
    "EventStream",
    "LongPoll",
    "Poll",
    "PollLatest",
    "PollingAge",
    "Record",
    "Sighting",
    "WebSocketPush",
    "age_of_polling",
    "at_random",
    "in_step",
    "interleaved",
    "keep_alive",
    "new_connection",
    "over_the_phase",
    "race",
    "round_trips",
    "watch",
    "websocket_echo",
]

# Seconds from everybody being connected to the start.
LEAD = 0.05
# Seconds of an experiment from which on it shows its progress.
PATIENCE = 1.0
# A poll that leaves or comes back later than this spoils a run: seconds, or a share of the poller's interval.
TOLERATED_STALL = 0.005
TOLERATED_SHARE = 0.01
ATTEMPTS = 3

T = TypeVar("T")
Call = Callable[[], object]


@dataclass(frozen=True)
class Record:
    """What a contender saw of a feed, and what that took; counts are sums over its clients.

    Attributes:
        clients: how many clients followed the feed in this way.
        seconds: how long the schedule lasted.
        emitted: when each update was made, in `perf_counter` seconds, by its `seq`.
        sightings: each update that a client got.
        round_trips: seconds from each request to its answer. The opening, and the poll at the very start,
            count neither here nor in what follows.
        empty: requests that brought nothing new.
        delays: seconds by which each poll left later than it was due, the one at the very start included.
        skipped: polls left out because an earlier answer was still awaited.
        sent: bytes from the clients.
        received: bytes to the clients.
        brought: updates that came with these bytes.
        opening: bytes in both directions before the start: handshake or first headers.
        client_cpu: processor time, in seconds, that the thread of all clients took while the schedule lasted;
            `None` in a race.
        server_cpu: the same for the server's process; `None` in a race, or if the server runs in this process.
    """

    clients: int
    seconds: float
    emitted: dict[int, float]
    sightings: list[Sighting]
    round_trips: Floats
    empty: int
    delays: Floats
    skipped: int
    sent: int
    received: int
    brought: int
    opening: int
    client_cpu: float | None = None
    server_cpu: float | None = None

    @property
    def ages(self) -> Floats:
        """Seconds from making to seeing, for each update that was seen."""
        return np.array([sighting.seen_at - sighting.emitted_at for sighting in self.sightings])

    @property
    def rate(self) -> float:
        """Updates a second, as they happened."""
        return len(self.emitted) / self.seconds

    @property
    def requests(self) -> int:
        """Requests made."""
        return len(self.round_trips)

    @property
    def empty_share(self) -> float:
        """Requests that brought nothing new, as a share of all."""
        return self.empty / self.requests

    @property
    def missed(self) -> int:
        """Updates that a client never saw."""
        return len(self.emitted) * self.clients - len(self.sightings)

    @property
    def missed_share(self) -> float:
        """Updates that a client never saw, as a share of all."""
        return self.missed / (len(self.emitted) * self.clients)

    @property
    def bytes_per_update(self) -> float:
        """Bytes in both directions for each update that was seen, once the connection is open."""
        return (self.sent + self.received) / self.brought


class PollingAge(NamedTuple):
    """How old updates are when a poller gets them; all in seconds.

    Attributes:
        every: the poller's interval.
        ages: of each update.
        mean: the mean age with its 95 % interval.
        round_trip: mean time from a poll to its answer.
        expected: the closed form: half an interval and half a round trip.
    """

    every: float
    ages: Floats
    mean: Estimate
    round_trip: float
    expected: float


def age_of_polling(
    url: Server | str, every: float, *, seconds: float = 2.0, seed: int | None = None
) -> PollingAge:
    """Measure the mean age of updates for a poller, to about 1 % within `seconds` (or two intervals, if longer).

    The updates are placed `wirelab.schedules.over_the_phase` of the poller; the interval of confidence is
    `wirelab.stats.replicate_interval` over its surveys. A run in which the machine stalled is made again, twice at
    most; whether it did is judged by the polls, not by the ages. Arguments and errors are otherwise those
    of `watch`.

    Raises:
        RuntimeError: the machine was too busy to see every update.
    """
    poller = Poll(every)
    runs: list[tuple[float, Record, Surveys]] = []
    for _ in range(ATTEMPTS):
        schedule = over_the_phase(every, seconds=seconds, seed=seed)
        record = watch(url, poller, schedule)
        stall = max(record.delays.max(), record.round_trips.max() - np.median(record.round_trips))
        runs.append((float(stall), record, schedule))
        if stall < max(TOLERATED_STALL, TOLERATED_SHARE * every):
            break
    _, record, schedule = min(runs, key=lambda run: run[0])
    if record.missed:
        raise RuntimeError(f"{record.missed} of {len(record.emitted)} updates were not seen: run it once more.")
    first = min(record.emitted)
    survey = schedule.survey[[sighting.seq - first for sighting in record.sightings]]
    means = [record.ages[survey == number].mean() for number in np.unique(survey)]
    round_trip = float(record.round_trips.mean())
    return PollingAge(every, record.ages, replicate_interval(means), round_trip, (every + round_trip) / 2)


def watch(
    url: Server | str,
    contender: Contender,
    schedule: Schedule,
    *,
    clients: int = 1,
    through: Server | str | None = None,
) -> Record:
    """Let `clients` follow a feed in one way, with nobody else there, so that the processor's time can be told.

    Args:
        url: a feed, such as ``serve("wirelab.apps.feed:app", process=True)``, or its base URL.
        contender: `Poll`, `PollLatest`, `LongPoll`, `EventStream` or `WebSocketPush`.
        schedule: when the updates happen.
        clients: how many clients do so at once, each on a connection of its own.
        through: what the clients reach the feed by, if they do not do so directly: a `Link`, or its base URL.

    Raises:
        ValueError: there is no feed at `url`, or `clients` is no number of them.
        ConnectionError: the feed closed a connection.
    """
    if not (isinstance(clients, Integral) and clients > 0):
        raise ValueError(f"clients is a whole number from 1 on, not {clients!r}.")
    label = f"{contender} with {clients} client{'s' * (clients > 1)}"
    work = _experiment(base_url(url), base_url(through or url), [(contender, clients)], schedule)
    [record] = _run(work, label, schedule.seconds)
    return record


def race(
    url: Server | str,
    contenders: Mapping[str, Contender],
    schedule: Schedule,
    *,
    through: Server | str | None = None,
) -> dict[str, Record]:
    """Let several contenders follow the same updates at the same time, one client each.

    Nothing but the way differs between them. But the processor's time cannot be told apart: `watch` each for
    that. Arguments and errors otherwise as for `watch`.
    """
    if not contenders:
        raise ValueError('A race needs contenders, such as {"poll": Poll(0.5), "push": WebSocketPush()}.')
    entries = [(contender, 1) for contender in contenders.values()]
    work = _experiment(base_url(url), base_url(through or url), entries, schedule)
    records = _run(work, "Race", schedule.seconds)
    return {
        name: replace(record, client_cpu=None, server_cpu=None)
        for name, record in zip(contenders, records, strict=True)
    }


async def _experiment(
    url: str, clients_url: str, entries: Sequence[tuple[Contender, int]], schedule: Schedule
) -> list[Record]:
    wire = await Wire.open(url)
    control = Http(wire, url)
    line = StartingLine(sum(clients for _, clients in entries))
    teams = [[Client(clients_url, line, turn / clients) for turn in range(clients)] for _, clients in entries]
    try:
        await _server_cpu(control)
        async with asyncio.TaskGroup() as group:
            for (contender, _), team in zip(entries, teams, strict=True):
                for client in team:
                    group.create_task(contender.follow(client))
            await line.complete.wait()
            window = await _start(control, schedule)
            server_cpu, client_cpu = await _server_cpu(control), time.thread_time()
            line.window.set_result(window)
            await asyncio.sleep(window.end - time.perf_counter())
            server_cpu, client_cpu = await _server_cpu(control) - server_cpu, time.thread_time() - client_cpu
        updates = json.loads((await control.ask("GET", f"/updates?after={window.first - 1}")).body)
    finally:
        wire.close()
        for client in itertools.chain(*teams):
            client.close()
    emitted = {update["seq"]: update["emitted_at"] for update in updates if update["seq"] <= window.last}
    return [_record(team, schedule.seconds, emitted, client_cpu, server_cpu) for team in teams]


async def _server_cpu(control: Http) -> float:
    """Return the processor seconds that the server's process has used; not a number if that is this process."""
    answer = await control.ask("GET", "/status")
    if answer.status != requests.codes.ok:
        raise ValueError(
            f"There is no feed here: GET /status was answered {answer.status}. "
            "Start one with serve('wirelab.apps.feed:app', process=True)."
        )
    status = json.loads(answer.body)
    return math.nan if status["pid"] == os.getpid() else float(status["cpu_seconds"])


async def _start(control: Http, schedule: Schedule) -> Window:
    start = time.perf_counter() + LEAD
    plan = json.dumps({"start": start, "offsets": schedule.offsets.tolist()}).encode()
    numbers = json.loads((await control.ask("PUT", "/schedule", body=plan)).body)
    return Window(start, start + schedule.seconds, numbers["first"], numbers["last"])


def _record(
    team: Sequence[Client], seconds: float, emitted: dict[int, float], client_cpu: float, server_cpu: float
) -> Record:
    return Record(
        clients=len(team),
        seconds=seconds,
        emitted=emitted,
        sightings=[sighting for client in team for sighting in client.sightings],
        round_trips=np.concatenate([client.round_trips for client in team]),
        empty=sum(client.empty for client in team),
        delays=np.concatenate([client.delays for client in team]),
        skipped=sum(client.skipped for client in team),
        sent=sum(client.sent for client in team),
        received=sum(client.received for client in team),
        brought=sum(len(client.sightings) - client.uncounted for client in team),
        opening=sum(client.opening for client in team),
        client_cpu=client_cpu,
        server_cpu=None if math.isnan(server_cpu) else server_cpu,
    )


def _run(work: Coroutine[Any, Any, T], label: str, seconds: float) -> T:
    """Run a coroutine on an event loop in a thread of its own: a notebook's cell already runs on one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="wirelab experiment", daemon=True)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        _wait(future, label, seconds)
        return future.result()
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        # Interrupted: the coroutine closes its connections before the loop may stop.
        future.cancel()
        asyncio.run_coroutine_threadsafe(_others_end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _wait(future: Future[Any], label: str, seconds: float) -> None:
    start = time.perf_counter()
    with progress(label, seconds) if seconds > PATIENCE else nullcontext(lambda done: None) as step:
        while not wait([future], timeout=0.1).done:
            step(time.perf_counter() - start)


async def _others_end() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


def round_trips(call: Call, count: int = 200, *, warm_up: int = 30) -> Floats:
    """Time `count` calls, one after the other, in seconds, after `warm_up` calls that are not timed.

    Calls as fast as they go flatter: caches stay warm, nothing sleeps. Compare such times only with each
    other.
    """
    return interleaved({"": call}, count, warm_up=warm_up)[""]


def interleaved(
    calls: Mapping[str, Call], count: int = 200, *, warm_up: int = 30, seed: int | None = None
) -> dict[str, Floats]:
    """Time several calls in turn, in seconds: each of `count` rounds calls all of them once, in random order.

    So whatever else the machine does meanwhile strikes all of them alike.
    """
    for call in calls.values():
        for _ in range(warm_up):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    # Between two calls stands as little as can be: what runs there costs several times what it costs in a loop of
    # its own, since the wait for an answer has emptied the processor's caches. So the turns are drawn beforehand.
    turns = _turns([(call, times[name].append) for name, call in calls.items()], count, seed)
    clock = time.perf_counter
    with progress("Round trips", len(turns)) as step:
        for done, (call, note) in enumerate(turns):
            start = clock()
            call()
            note(clock() - start)
            step(done)
    return {name: np.array(seconds) for name, seconds in times.items()}


def _turns(contenders: list[T], rounds: int, seed: int | None) -> list[T]:
    """Put contenders in a row that has all of them once in each round, in random order."""
    if len(contenders) == 1:
        return contenders * rounds
    # Not numpy's: setting that one up takes longer than some of what is timed here.
    rng = random.Random(seed)
    return [turn for _ in range(rounds) for turn in rng.sample(contenders, len(contenders))]


@contextmanager
def keep_alive(url: str) -> Iterator[Call]:
    """Yield a call that sends one GET and reads the answer, always on the same connection."""
    with requests.Session() as session:
        session.trust_env = False
        yield lambda: session.get(url, timeout=10).raise_for_status()


@contextmanager
def new_connection(url: str) -> Iterator[Call]:
    """Yield a call that opens a connection, sends one GET, reads the answer and closes."""

    def call() -> None:
        with keep_alive(url) as get:
            get()

    yield call


@contextmanager
def websocket_echo(uri: str, message: str = "ping") -> Iterator[Call]:
    """Yield a call that sends one message and waits for one, always on the same WebSocket."""
    with connect(uri, compression=None, proxy=None) as websocket:

        def call() -> str | bytes:
            websocket.send(message)
            return websocket.recv()

        yield call
