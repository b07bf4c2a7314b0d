"""What the checks of the feed do with it: publish and listen, talk nonsense, stop to read, stop to answer."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from wirelab.checks.evidence import at_once
from wirelab.checks.feed_clients import ANSWER_DEADLINE, IMPATIENT_DEADLINE, Client, Feed, Message, Rooms
from wirelab.checks.feed_protocol import HEARTBEAT, NOTICE, QUEUE, Object, publish, subscribe, unsubscribe
from wirelab.checks.price_clients import new_symbol, odd_symbol
from wirelab.checks.websocket_clients import Ending

# How often an experiment is made before its outcome counts against the feed.
ROUNDS = 2
# Seconds in which a message arrives that should not.
STRAY = 0.15

# topics

# Updates of each symbol in each part of the conversation.
PART = 4


@dataclass
class Asked:
    """A request, the answer to it, and what else came since it was sent."""

    client: Client
    request: Object
    answer: Message | None
    at: int

    @property
    def seq(self) -> Any:
        """The number in the answer."""
        return self.answer.content.get("seq") if self.answer else None


@dataclass
class Listening:
    """A stretch of time in which a client wants a symbol.

    Attributes:
        who: the client in words.
        subscription: how it asked for it; the answer's seq is where the numbers begin.
        sent: what was published meanwhile, with the seq that the publisher was told.
        got: the updates of this symbol that the client got meanwhile.
    """

    who: str
    client: Client
    subscription: Asked
    sent: list[Asked] = field(default_factory=list)
    got: list[Object] = field(default_factory=list)

    @property
    def symbol(self) -> str:
        """What it listens to."""
        return str(self.subscription.request["symbol"])


@dataclass
class Conversation:
    """Clients that come, go and come again, while others publish.

    Attributes:
        asked: every request, in order.
        stretches: who listened to what, and what came of it.
        strays: updates that came to a client that did not want their symbol, in words.
        raised: what the server's code raised, as an aside.
    """

    asked: list[Asked] = field(default_factory=list)
    stretches: list[Listening] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    raised: str = ""

    @property
    def clients(self) -> list[Client]:
        """Everybody who asked for something."""
        return list({id(one.client): one.client for one in self.asked}.values())

    async def ask(self, client: Client, request: Object) -> Asked:
        """Have a client send a request, and note the answer."""
        # Who got no answer once is not waited for so long again.
        silent = any(one.answer is None for one in self.asked)
        at = len(client.messages)
        answer = await client.ask(request, IMPATIENT_DEADLINE if silent else ANSWER_DEADLINE)
        self.asked.append(Asked(client, request, answer, at))
        return self.asked[-1]


def new_data() -> Any:
    """Something to publish that nobody can have guessed."""
    number = secrets.randbelow(10**6)
    return secrets.choice((number, f"naïve {number}", [number, 0.5], {"price": number / 100, "size": None}))


async def conversation(rooms: Rooms) -> Conversation:
    """Two listeners and a publisher on two symbols; a third symbol nobody wants."""
    seen = Conversation()
    feed = rooms.feed
    common, odd, unwanted = new_symbol(), odd_symbol(), new_symbol()
    one, other, publisher = [await feed.greet() for _ in range(3)]
    wanted: dict[Client, dict[str, Listening]] = {one: {}, other: {}, publisher: {}}
    who = {one: "the first client", other: "the second client", publisher: "the publisher"}

    async def join(client: Client, symbol: str) -> None:
        asked = await seen.ask(client, subscribe(symbol))
        if symbol not in wanted[client]:
            wanted[client][symbol] = Listening(who[client], client, asked)
            seen.stretches.append(wanted[client][symbol])

    async def leave(client: Client, symbol: str) -> None:
        await seen.ask(client, unsubscribe(symbol))
        del wanted[client][symbol]

    async def part() -> None:
        """Publish to all three symbols in turn, wait until all is there, and see what came to whom."""
        before = {client: len(client.updates()) for client in wanted}
        for symbol in PART * [common, odd, unwanted]:
            asked = await seen.ask(publisher, publish(symbol, new_data()))
            for listening in wanted.values():
                if symbol in listening:
                    listening[symbol].sent.append(asked)
        for client, listening in wanted.items():
            due = before[client] + PART * len(listening)
            await client.until(lambda: len(client.updates()) >= due, IMPATIENT_DEADLINE)  # noqa: B023
        await asyncio.sleep(STRAY)
        for client, listening in wanted.items():
            for update in client.updates()[before[client] :]:
                symbol = str(update.get("symbol"))
                if symbol in listening:
                    listening[symbol].got.append(update)
                else:
                    wants = " and ".join(listening) or "nothing"
                    seen.strays.append(f"{who[client]}, who wants {wants}, got {json.dumps(update)}")

    await join(one, common)
    await join(one, odd)
    await join(other, common)
    await part()
    await leave(one, common)
    await join(other, common)
    await part()
    await join(one, common)
    await leave(other, common)
    await part()
    await feed.explain(*seen.clients)
    seen.raised = await feed.raised()
    return seen


def nonsense() -> list[tuple[str, str | bytes]]:
    """Messages that are no requests, each with its fault in words."""
    symbol = new_symbol()
    good = json.dumps(subscribe(symbol))
    objects: dict[str, Any] = {
        "it is JSON, but a list and no object": [subscribe(symbol)],
        "it is JSON, but a text and no object": "subscribe",
        "it is JSON, but a number and no object": secrets.randbelow(1000),
        "it is JSON, but null and no object": None,
        "it has no type": {"symbol": symbol},
        "its type is unknown": {"type": f"subscribe{secrets.randbelow(100)}", "symbol": symbol},
        "its type is a list, no text": {"type": ["subscribe"], "symbol": symbol},
        "it has no symbol": {"type": "subscribe"},
        "its symbol is empty": subscribe(""),
        "its symbol is a number, no text": {"type": "subscribe", "symbol": secrets.randbelow(1000)},
        "its symbol is a list, no text": {"type": "unsubscribe", "symbol": [symbol]},
        "its symbol is null, no text": {"type": "publish", "symbol": None, "data": 1},
        "it has no data": {"type": "publish", "symbol": symbol},
    }
    return [
        ("it is no JSON", f"{symbol}, please"),
        ("it is no JSON: it breaks off in the middle", good[: -secrets.randbelow(8) - 2]),
        ("it is no JSON: it is empty", ""),
        ("these bytes are no text at all, so they are no JSON", b"\x80\xfe" + secrets.token_bytes(8)),
        *((fault, json.dumps(message)) for fault, message in objects.items()),
    ]


@dataclass(frozen=True)
class Nonsense:
    """What became of a client that sent what is no request.

    Attributes:
        flaw: the first message that got no error for an answer, and what it got, in words; empty if all got one.
        fault: what is wrong with that message.
        lost: how the subscriptions of this client or of another suffered, in words; empty if they did not.
    """

    talker: Client
    flaw: str = ""
    fault: str = ""
    lost: str = ""


async def talked_nonsense(rooms: Rooms) -> Nonsense:
    """Send one thing after the other that is no request, then see whether all goes on."""
    async with rooms.serve() as feed:
        symbol = new_symbol()
        talker, other, publisher = [await feed.subscribe(*wanted) for wanted in ([symbol], [symbol], [])]
        seconds = ANSWER_DEADLINE
        for fault, message in nonsense():
            before = len(talker.messages)
            answer = await talker.ask(message, seconds)
            text = answer.content.get("error") if answer else None
            if answer is None or answer.content.get("type") != "error" or not isinstance(text, str) or not text:
                await feed.explain(talker)
                got = talker.got_since(before)
                return Nonsense(talker, f"{talker.said}; got {got}", fault)
            seconds = IMPATIENT_DEADLINE + 2
        await asyncio.sleep(STRAY)
        for client, who in ((talker, "the client that had sent it"), (other, "another client")):
            extra = len(client.answers) - (2 if client is other else 2 + len(nonsense()))
            if extra > 0:
                return Nonsense(talker, lost=f"{who} got {client.got_since(len(client.messages) - 1)} besides")
        number = secrets.randbelow(10**6)
        await publisher.ask(publish(symbol, number))
        for client, who in ((talker, "the client that had sent it"), (other, "another client")):
            if not await client.until(lambda: client.updates(symbol), seconds):  # noqa: B023
                await feed.explain(client)
                return Nonsense(talker, lost=f"{who} got {client.end or 'no more updates'}")
        return Nonsense(talker)


# slow

# Bytes of one message, and how many of them are published at a time.
SIZE, AT_A_TIME = 32_768, 8
# Bytes that are published while two readers have stopped: far more than the queue of one and what the system keeps
# for a connection, which is much where small segments are not to be had; and until the memory is judged.
VOLUME, VOLUME_LARGE, VOLUME_MEMORY = 2_500_000, 10_000_000, 14_000_000
# Seconds until a message has to be there; that the others may have to wait for one; in which the one that stopped
# gets something when it reads again, an end at last.
STEP_DEADLINE, LONGEST_WAIT, END_DEADLINE = 4.0, 0.7, 2.0
# Bytes that the server may grow by: what waits for two clients, twice, and what an interpreter keeps for itself.
GROWTH = 4 * QUEUE * SIZE + 4 * 2**20


@dataclass
class Stopped:
    """What became of a feed while two of its readers had stopped.

    Attributes:
        stopped: the reader that stopped, and went on in the end; the other one never did.
        publisher: the client that publishes.
        symbol: what all of it is about.
        others: how it went for the others, in words; empty if it went well.
        blocked: whether it did not go on for them.
        published: how many messages were, since the two stopped.
        growth: bytes by which the server grew; None where the system does not tell.
    """

    stopped: Client
    publisher: Client
    symbol: str
    others: str = ""
    blocked: bool = False
    published: int = 0
    growth: int | None = None

    @property
    def told(self) -> str:
        """What was published, in words."""
        megabytes = self.published * SIZE / 1e6
        return f"{self.published} updates ({megabytes:.1f} MB) while two of four readers had stopped reading"

    @property
    def got(self) -> int:
        """How many updates the reader got that had stopped."""
        return len(self.stopped.updates(self.symbol))

    @property
    def dropped(self) -> Ending | None:
        """How its connection ended."""
        return self.stopped.ending


async def stopped(rooms: Rooms) -> Stopped:
    """Let two of four readers stop while messages go on; again if a busy machine may have spoiled it."""
    for _ in range(ROUNDS):
        async with rooms.serve() as feed:
            seen = await _stop(feed)
        # Once more for what a busy machine may do: make all wait, or let a heartbeat come before a full queue.
        if seen.blocked or not (seen.others or seen.stopped.broke):
            break
    return seen


async def _stop(feed: Feed) -> Stopped:
    symbol = new_symbol()
    readers = [await feed.subscribe(symbol) for _ in range(2)]
    publisher = await feed.greet()
    await _publish(publisher, symbol, readers)
    before = await feed.served.memory()
    # What the system keeps for a connection grows with what it once took: these two have taken little.
    stops, stays = [await feed.subscribe(symbol, little_room=True) for _ in range(2)]
    seen = Stopped(stops, publisher, symbol)
    # Right after a ping, if there are any: before the next one is missed, its queue shall have been full.
    await stops.until(lambda: stops.pings, 1.2 * HEARTBEAT)
    for client in (stops, stays):
        client.stop_reading()
    if not await _go_on(feed, seen, readers, VOLUME if stops.little_room else VOLUME_LARGE):
        return seen
    if before is None:
        await _read_on(stops)
    else:
        # At the same time: if a heartbeat ends the other one, what waits for it is gone too.
        _, peak = await asyncio.gather(_read_on(stops), _go_on(feed, seen, readers, VOLUME_MEMORY))
        seen.growth = peak - before
    await feed.explain(stops)
    return seen


async def _go_on(feed: Feed, seen: Stopped, readers: list[Client], volume: int) -> int:
    """Publish until so many bytes have been, unless it does not go on; return the server's greatest memory.

    Without anything to see of the memory, that is 1; 0 if it did not go on.
    """
    peak = 1
    while seen.published * SIZE < volume:
        waited = await _publish(seen.publisher, seen.symbol, readers)
        seen.published += AT_A_TIME
        late = [reader for reader in readers if len(reader.updates(seen.symbol)) < AT_A_TIME + seen.published]
        if late or seen.publisher.ending:
            await feed.explain(seen.publisher, *readers)
            seen.others = _why_late(late[0] if late else seen.publisher, seen.publisher, await feed.raised())
            seen.blocked = True
            return 0
        if waited > LONGEST_WAIT and not seen.others:
            seen.others = f"others that waited {waited:.1f} s for the next ones"
        peak = max(peak, await feed.served.memory() or 0)
    return peak


async def _publish(publisher: Client, symbol: str, readers: list[Client]) -> float:
    """Publish AT_A_TIME messages; return the seconds until the last reader has the last of them."""
    begun = time.perf_counter()
    acknowledged = len(publisher.answers) + AT_A_TIME
    due = len(readers[0].updates(symbol)) + AT_A_TIME
    for number in range(AT_A_TIME):
        publisher.say(publish(symbol, f"{number} {'x' * SIZE}"))
    for reader in readers:
        await reader.until(lambda: len(reader.updates(symbol)) >= due, STEP_DEADLINE)  # noqa: B023
    await publisher.until(lambda: len(publisher.answers) >= acknowledged, STEP_DEADLINE)
    return time.perf_counter() - begun


async def _read_on(client: Client) -> None:
    """Take what waits, until the end or until nothing more comes."""
    client.read_on()
    taken = -1
    while not client.ending and len(client.messages) > taken:
        taken = len(client.messages)
        await client.until(lambda: False, END_DEADLINE)


def _why_late(late: Client, publisher: Client, raised: str) -> str:
    if late is publisher or publisher.ending:
        return f"{publisher.end} for the client that publishes"
    if late.ending:
        return f"{late.end} for another reader, who reads all the time"
    return f"others that got nothing more for {STEP_DEADLINE:g} s{raised}"


@dataclass(frozen=True)
class Burst:
    """How many messages a reader was sent at once, who reads all the time, and what it got."""

    reader: Client
    sent: int
    symbol: str


async def burst(rooms: Rooms) -> Burst:
    """Send a healthy reader half as many messages at once as may wait for it."""
    async with rooms.serve() as feed:
        symbol, count = new_symbol(), QUEUE // 2
        reader, publisher = await feed.subscribe(symbol), await feed.greet()
        for number in range(count):
            publisher.say(publish(symbol, number))
        await reader.until(lambda: len(reader.updates(symbol)) >= count, ANSWER_DEADLINE)
        await asyncio.sleep(STRAY)
        await feed.explain(reader)
        return Burst(reader, count, symbol)


# heartbeat

# Seconds that a machine may be late because it is busy.
BUSY = 1.5


@dataclass(frozen=True)
class Watched:
    """What became of clients that froze, and of one that only kept silent.

    Attributes:
        frozen: clients that froze, by what they had asked for before.
        seconds: how long they were waited for.
        silent: a client that says nothing, but answers pings.
    """

    frozen: dict[str, Client]
    seconds: float
    silent: Client


async def watched(rooms: Rooms) -> Watched:
    """Let some clients freeze at the same time, beside one that is silent and well."""
    feed = rooms.feed
    symbol = new_symbol()
    silent = await feed.subscribe(symbol)
    frozen = {
        "that had subscribed": await feed.subscribe(symbol),
        "that had only said hello": await feed.greet(),
    }
    begun = time.perf_counter()
    for client in frozen.values():
        client.freeze()
    await at_once(*(client.until(lambda: False, NOTICE + BUSY) for client in frozen.values()))
    # It shall have been asked whether it lives at least twice, and have had the time to be dropped for nothing.
    await silent.until(lambda: len(silent.pings) > 1, 2 * HEARTBEAT + BUSY)
    left = 2.7 * HEARTBEAT - (time.perf_counter() - begun)
    await silent.until(lambda: False, left if silent.pings else 0)
    await feed.explain(silent, *frozen.values())
    return Watched(frozen, time.perf_counter() - begun, silent)
