"""Experiments see what happens: ages, misses, requests and bytes, each checked against something independent."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection

from wirelab import Link, Server, _followers, serve
from wirelab.apps import feed
from wirelab.measure import (
    Contender,
    EventStream,
    LongPoll,
    Poll,
    PollLatest,
    WebSocketPush,
    age_of_polling,
    at_random,
    in_step,
    interleaved,
    keep_alive,
    new_connection,
    race,
    round_trips,
    watch,
    websocket_echo,
)
from wirelab.schedules import Schedule

EVERYBODY: dict[str, Contender] = {
    "poll": Poll(0.1),
    "latest": PollLatest(0.1),
    "long poll": LongPoll(),
    "events": EventStream(),
    "websocket": WebSocketPush(),
}
PUSH = ("long poll", "events", "websocket")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A feed in a process of its own."""
    with serve("wirelab.apps.feed:app", process=True) as running:
        yield running
        assert running.errors == []


def at(*offsets: float, seconds: float) -> Schedule:
    return Schedule(np.array(offsets), seconds)


# --- age ---------------------------------------------------------------------------------------------------


def test_the_mean_age_of_polling_is_half_an_interval_and_half_a_round_trip(server: Server) -> None:
    # Within 1 % on an idle machine. One that stalls for tens of milliseconds gets a second and a third go.
    for _ in range(3):
        age = age_of_polling(server.http, 0.25, seconds=1.0)
        if abs(age.mean.value / age.expected - 1) < 0.03:
            break
    assert age.mean.value == pytest.approx(age.expected, rel=0.03)
    assert age.mean.low < age.mean.value < age.mean.high < 1.05 * age.mean.low
    assert age.expected == (0.25 + age.round_trip) / 2
    assert len(age.ages) >= 300


def test_ages_of_polling_are_spread_evenly_over_the_interval(server: Server) -> None:
    age = age_of_polling(server.http, 0.25, seconds=1.0)
    counts, _ = np.histogram(age.ages - age.ages.min(), bins=5, range=(0, 0.25))
    assert counts.min() > 0.8 * len(age.ages) / 5


def test_in_step_with_the_poller_every_start_gives_another_answer(server: Server) -> None:
    starts = {f"{delay:.2f}": Poll(0.2, delay) for delay in (0.05, 0.15)}
    early, late = race(server.http, starts, in_step(0.2, 5)).values()
    assert np.median(early.ages) == pytest.approx(0.15, abs=0.03)
    assert np.median(late.ages) == pytest.approx(0.05, abs=0.03)


def test_what_is_pushed_is_younger_than_what_is_asked_for(server: Server) -> None:
    records = race(server.http, EVERYBODY, at_random(25, 1.0, seed=1))
    for name in PUSH:
        assert np.median(records[name].ages) < np.median(records["poll"].ages) / 4
    assert all((record.ages > 0).all() for record in records.values())


# --- misses and requests -----------------------------------------------------------------------------------


def test_only_asking_for_the_latest_misses_updates(server: Server) -> None:
    contenders = EVERYBODY | {"poll": Poll(0.25), "latest": PollLatest(0.25)}
    records = race(server.http, contenders, at(*np.arange(0.01, 1.0, 0.02), seconds=1.0))
    assert {name: record.missed for name, record in records.items() if name != "latest"} == dict.fromkeys(
        ["poll", *PUSH], 0
    )
    latest = records["latest"]
    assert latest.missed >= 40
    assert latest.missed_share == latest.missed / 50
    # The survivors are the young ones: they hide that the others were never seen.
    assert np.median(latest.ages) < np.median(records["poll"].ages) / 2


def test_each_update_is_seen_once_and_in_order(server: Server) -> None:
    for name, record in race(server.http, EVERYBODY, at_random(40, 0.5, seed=2)).items():
        seqs = [sighting.seq for sighting in record.sightings]
        assert seqs == sorted(set(seqs)), name
        assert set(seqs) <= set(record.emitted), name
        assert [record.emitted[seq] for seq in seqs] == [sighting.emitted_at for sighting in record.sightings]
        times = [sighting.seen_at for sighting in record.sightings]
        assert times == sorted(times)


def test_a_poller_makes_one_request_an_interval_and_most_bring_nothing(server: Server) -> None:
    records = race(server.http, {"poll": Poll(0.05), "latest": PollLatest(0.05)}, at(0.22, 0.61, seconds=1.0))
    for record in records.values():
        assert 20 <= record.requests + record.skipped <= 21
        assert record.empty == record.requests - 2
        assert record.empty_share == record.empty / record.requests


def test_the_share_of_empty_polls_is_that_of_poisson(server: Server) -> None:
    schedule = at_random(20, 2.0, seed=3)
    record = watch(server.http, Poll(0.05), schedule)
    # The schedule is known, so the count is too; a poll that is late may swap an update with its neighbour.
    empty = 40 - len(np.unique(schedule.offsets // 0.05))
    assert record.empty == pytest.approx(empty, abs=4)
    assert record.empty_share == pytest.approx(math.exp(-record.rate * 0.05), abs=0.15)


def test_a_long_poll_makes_one_request_an_update(server: Server) -> None:
    record = watch(server.http, LongPoll(), at(0.1, 0.2, 0.3, 0.4, seconds=0.5))
    assert (record.requests, record.empty, record.missed) == (4, 0, 0)


def test_a_long_poll_that_times_out_is_a_wasted_request(server: Server) -> None:
    record = watch(server.http, LongPoll(wait=0.1), at(0.45, seconds=0.5))
    assert record.requests >= 4
    assert record.empty == record.requests - 1


def test_listeners_make_no_requests(server: Server) -> None:
    for contender in (EventStream(), WebSocketPush()):
        record = watch(server.http, contender, at(0.05, seconds=0.1))
        assert record.requests == 0
        assert record.opening > 200


def test_a_slow_answer_costs_the_polls_it_covers_and_no_burst_follows() -> None:
    app = Slowed(feed.create_app(every=3600), nth=3, seconds=0.5)
    with serve(app) as server:
        record = watch(server.http, Poll(0.1), at(0.05, 0.25, 0.75, seconds=1.5))
    # The last question is the experiment's own, for the list of all updates.
    asked = app.asked[:-1]
    assert record.skipped >= 4
    assert record.requests + record.skipped in range(14, 18)
    # Five polls made up for would be four short pauses; a poll or two may be late for the machine's own reasons.
    assert sum(later - earlier < 0.03 for earlier, later in itertools.pairwise(asked)) <= 2
    assert record.missed == 0
    assert record.round_trips.max() >= 0.5


class Slowed:
    """A feed whose `nth` answer to GET /updates takes `seconds` longer."""

    def __init__(self, app: Any, nth: int, seconds: float) -> None:
        self.app, self.nth, self.seconds = app, nth, seconds
        self.asked: list[float] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") == "/updates":
            self.asked.append(time.perf_counter())
            if len(self.asked) == self.nth:
                await asyncio.sleep(self.seconds)
        await self.app(scope, receive, send)


# --- cost --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contender", EVERYBODY.values(), ids=EVERYBODY)
def test_bytes_are_those_that_a_relay_counts(
    server: Server, contender: Contender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_followers, "WARM_UP", 0)
    with Relay(server.port) as relay:
        record = watch(relay.url, contender, at(0.15, 0.25, 0.35, 0.45, seconds=0.5))
    # The first connection is the one that starts the experiment.
    [sent, received] = relay.traffic[1]
    counted = record.opening + record.sent + record.received
    if isinstance(contender, Poll | PollLatest):
        assert 0 < sent + received - counted < 1.5 * counted / record.requests, "the poll at the start is left out"
    else:
        assert counted == sent + received
    # On a busy machine a late poll of the latest may pass an update by, or the one at the start may bring one.
    assert 2 <= record.brought <= 4 - record.missed
    assert record.bytes_per_update == (record.sent + record.received) / record.brought


class Relay:
    """A TCP relay that counts, for each connection, the bytes to and from the server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.traffic: list[list[int]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self.port))
            counts = [0, 0]
            self.traffic.append(counts)
            for direction, (source, sink) in enumerate([(client, upstream), (upstream, client)]):
                threading.Thread(target=self._pump, args=(source, sink, counts, direction), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counts: list[int], direction: int) -> None:
        try:
            while data := source.recv(65536):
                counts[direction] += len(data)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()


def test_a_crowd_of_pollers_does_not_ask_all_at_once() -> None:
    app = Slowed(feed.create_app(every=3600), nth=0, seconds=0)
    with serve(app) as server:
        record = watch(server.http, Poll(0.5), at(0.1, 0.6, seconds=1.0), clients=5)
    assert record.missed == 0
    assert record.requests + record.skipped in range(10, 16)
    phases = np.sort((np.array(app.asked[:-1]) - app.asked[0]) % 0.5)
    assert np.diff(phases, append=phases[0] + 0.5).max() < 0.3


def test_the_processors_time_grows_with_the_clients(server: Server) -> None:
    one, many = (watch(server.http, LongPoll(), at_random(40, 0.5, seed=5), clients=n) for n in (1, 20))
    assert many.clients == 20
    assert many.missed == 0
    assert len(many.sightings) == 20 * len(many.emitted)
    for few_seconds, many_seconds in ((one.server_cpu, many.server_cpu), (one.client_cpu, many.client_cpu)):
        assert few_seconds is not None
        assert many_seconds is not None
        assert 0 < few_seconds < many_seconds / 2


def test_the_processors_time_is_not_told_where_it_cannot_be(server: Server) -> None:
    raced = race(server.http, {"events": EventStream()}, at(0.05, seconds=0.1))["events"]
    assert (raced.server_cpu, raced.client_cpu) == (None, None)
    with serve(feed.create_app(every=3600)) as in_this_process:
        assert watch(in_this_process.http, EventStream(), at(0.05, seconds=0.1)).server_cpu is None


# --- where it runs -----------------------------------------------------------------------------------------


def test_it_runs_where_an_event_loop_runs_already(server: Server) -> None:
    async def cell() -> int:
        return len(watch(server.http, WebSocketPush(), at(0.05, seconds=0.1)).sightings)

    assert asyncio.run(cell()) == 1


@pytest.mark.skipif(os.name != "posix", reason="sends itself the signal that Ctrl-C sends")
def test_an_interrupt_ends_it_and_leaves_nothing_behind(server: Server) -> None:
    before = set(threading.enumerate())
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        watch(server.http, Poll(0.1), at(30.0, seconds=60.0), clients=5)
    assert time.monotonic() - start < 20
    timer.join()
    assert set(threading.enumerate()) <= before
    assert watch(server.http, Poll(0.1), at(0.05, seconds=0.1)).missed == 0


def test_a_proxy_for_the_outside_world_is_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert watch(server.http, WebSocketPush(), at(0.05, seconds=0.1)).missed == 0
    with keep_alive(server.http + "/latest") as get:
        get()


def test_what_is_no_feed_is_named() -> None:
    with serve("wirelab.apps.todos:app") as server, pytest.raises(ValueError, match="no feed here"):
        watch(server.http, Poll(0.1), at(0.05, seconds=0.1))


def test_a_server_does_as_well_as_its_url(server: Server) -> None:
    plan = at(0.05, seconds=0.1)
    with Link(server) as link:
        assert watch(server, Poll(0.05), plan, through=link).missed == 0
        assert race(server, {"push": WebSocketPush()}, plan, through=link)["push"].missed == 0
        assert link.connections == 2
    for wrong in (None, server.port):
        with pytest.raises(TypeError, match=r"Hand over a server, or its URL as in server\.http, not "):
            watch(wrong, Poll(0.05), plan)  # type: ignore[arg-type]


@pytest.mark.parametrize("every", [0, -1, math.nan, math.inf, "1"])
def test_an_interval_that_is_none_is_refused(server: Server, every: float) -> None:
    for poll in (Poll, PollLatest, lambda every: age_of_polling(server, every)):
        with pytest.raises(ValueError, match=f"every is the seconds between two polls, above 0, not {every!r}"):
            poll(every)


@pytest.mark.parametrize("clients", [0, -1, 1.5, "2"])
def test_nobody_is_no_number_of_clients(server: Server, clients: int) -> None:
    with pytest.raises(ValueError, match=f"clients is a whole number from 1 on, not {clients!r}"):
        watch(server, Poll(0.05), at(0.05, seconds=0.1), clients=clients)


def test_a_race_needs_somebody_in_it(server: Server) -> None:
    with pytest.raises(ValueError, match="A race needs contenders, such as"):
        race(server, {}, at(0.05, seconds=0.1))


def test_a_feed_that_is_not_there_raises_here() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionError):
        watch(f"http://127.0.0.1:{port}", Poll(0.1), at(0.05, seconds=0.1))


@pytest.mark.parametrize("contender", EVERYBODY.values(), ids=EVERYBODY)
def test_a_feed_that_goes_away_raises_here(contender: Contender) -> None:
    with serve(feed.create_app(every=3600)) as server:
        stop = threading.Timer(0.5, server.stop)
        stop.start()
        with pytest.raises(ConnectionError):
            watch(server.http, contender, at(30.0, seconds=60.0))
        stop.join()


# --- round trips -------------------------------------------------------------------------------------------


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def test_round_trips_are_timed_one_by_one_after_a_warm_up() -> None:
    calls = itertools.count()

    def call() -> None:
        time.sleep(0.05 if next(calls) < 2 else 0.002)

    times = round_trips(call, 20, warm_up=2)
    assert next(calls) == 22
    assert len(times) == 20
    assert 0.002 <= np.median(times) < 0.04


def test_contenders_take_turns_in_random_order() -> None:
    log: list[str] = []
    times = interleaved({"a": lambda: log.append("a"), "b": lambda: log.append("b")}, 50, warm_up=0, seed=1)
    rounds = [tuple(log[i : i + 2]) for i in range(0, 100, 2)]
    assert set(rounds) == {("a", "b"), ("b", "a")}
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 50, "b": 50}


def test_a_kept_connection_is_one_connection_and_a_new_one_is_not() -> None:
    with serve("wirelab.apps.todos:app") as server, Relay(server.port) as relay:
        with keep_alive(relay.url + "/todos") as get:
            round_trips(get, 5, warm_up=2)
        assert len(relay.traffic) == 1
        with new_connection(relay.url + "/todos") as get:
            round_trips(get, 5, warm_up=2)
        assert len(relay.traffic) == 8


def test_an_echo_is_faster_than_a_new_connection_each_time() -> None:
    with (
        serve("wirelab.apps.todos:app") as rest,
        serve(echo) as server,
        new_connection(rest.http + "/todos") as get,
        websocket_echo(server.ws) as say,
    ):
        times = interleaved({"new": get, "echo": say}, 30, warm_up=5)
    assert np.median(times["echo"]) < np.median(times["new"]) / 2


def test_an_error_status_is_no_round_trip() -> None:
    with (
        serve("wirelab.apps.todos:app") as server,
        keep_alive(server.http + "/nothing") as get,
        pytest.raises(OSError, match="404"),
    ):
        get()
