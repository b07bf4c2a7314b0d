"""Three workers of a learner's chat with a broker behind them, and the members that a check has in their rooms."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from websockets.exceptions import WebSocketException

from wirelab.checks import CannotJudge, Failed, NotAttempted, Served, Target
from wirelab.checks import workers_broker as brokers
from wirelab.checks.evidence import Subject, at_once
from wirelab.checks.exchange import Api, Exchange, as_json, shown
from wirelab.checks.price_clients import FLOOD, Client
from wirelab.checks.workers_broker import Broker
from wirelab.link import Relay

# Seconds from each worker to the broker, one way: those that are near hear of a message first.
DELAYS = (0.001, 0.004, 0.008)
WORKERS = len(DELAYS)
# Seconds until messages have come on a machine that may be busy, and in which one that should not come shows up.
MESSAGE_DEADLINE, SURPLUS = 5.0, 0.25
# Seconds until a worker has found its broker again, where learners wait half a second at most between two tries;
# and once one was found lacking.
BACK_DEADLINE, IMPATIENT_DEADLINE = 6.0, 1.5
# Seconds between two tries to post.
PAUSE = 0.05


@dataclass(frozen=True)
class Post:
    """A message of a room, as a member or a history tells it."""

    seq: int
    text: str


def read_post(value: Any) -> Post | str:
    """A message from JSON; or what is wrong with it, in words."""
    if not isinstance(value, dict):
        return "it is no JSON object"
    seq, text = value.get("seq"), value.get("text")
    if not isinstance(seq, int) or isinstance(seq, bool):
        return "its seq is no whole number" if "seq" in value else "it has no seq"
    if not isinstance(text, str):
        return "its text is no text" if "text" in value else "it has no text"
    return Post(seq, text)


def new_text() -> str:
    """A text that nobody can have guessed."""
    return f"{secrets.choice(('Hello', 'Grüße', 'Tea?', '¡Hola!'))} {secrets.token_hex(4)}"


def new_room() -> str:
    """A room in which nobody has been."""
    return f"tea-{secrets.token_hex(3)}"


class Member:
    """A socket in a room.

    Attributes:
        client: the connection.
        worker: the number of its worker.
        after: what it said it has.
    """

    def __init__(self, chat: Chat, client: Client, worker: int, room: str, after: int | None) -> None:
        """Use `Chat.join`."""
        self._chat = chat
        self.client = client
        self.worker = worker
        self.after = after
        self._room = room
        self._read: list[Post] = []

    @property
    def posts(self) -> list[Post]:
        """What came so far.

        Raises:
            Failed: one of the messages is none.
        """
        for message in self.client.messages[len(self._read) :]:
            try:
                post = read_post(json.loads(message.raw))
            except (ValueError, RecursionError):
                post = "it is no JSON"
            if isinstance(post, str):
                raise Failed(
                    f"Sent nothing over {self.said}; got {shown(message.raw)}; expected "
                    f'{{"seq": 42, "text": "…"}}, but {post}.'
                )
            self._read.append(post)
        return self._read

    @property
    def texts(self) -> list[str]:
        """The texts among them."""
        return [post.text for post in self.posts]

    @property
    def said(self) -> str:
        """What it has opened, in words."""
        query = "" if self.after is None else f"?after={self.after}"
        return f"the WebSocket /rooms/{self._room}{query} of worker {self.worker + 1}"

    @property
    def got(self) -> str:
        """How much came, in words."""
        count = len(self.client.messages)
        if count >= FLOOD:
            return f"{count} messages, too many to go on listening"
        came = {0: "no message", 1: "1 message"}.get(count, f"{count} messages")
        return came + (f", and then {self.client.end}" if self.client.end else "")

    async def has(self, texts: Sequence[str], seconds: float = MESSAGE_DEADLINE) -> bool:
        """Wait until all of these have come; whether they have."""
        return await self.client.until(lambda: self.has_all(texts), seconds)

    def has_all(self, texts: Sequence[str]) -> bool:
        """Whether all of these have come."""
        return set(texts) <= set(self.texts)

    async def has_at_last(self, texts: Sequence[str]) -> bool:
        """Wait until all of these have come to a worker that was without its broker; whether they have."""
        found = await self.has(texts, self._chat.patience)
        if not found:
            self._chat.patience = IMPATIENT_DEADLINE
        return found


@dataclass
class Worker:
    """A worker: its process, a client of it, and what stands between it and the broker."""

    served: Served
    api: Api
    relay: Relay

    def lose_broker(self) -> None:
        """Break its connections to the broker, and refuse new ones."""
        self.relay.refuse()
        self.relay.reset()


class Chat(Subject):
    """Three workers that share one broker.

    Attributes:
        broker: the broker.
        workers: the workers.
        patience: seconds until a worker has found its broker again.
    """

    def __init__(self, broker: Broker, workers: list[Worker]) -> None:
        """Use `open`."""
        super().__init__()
        self.broker = broker
        self.workers = workers
        self.patience = BACK_DEADLINE
        self._members: list[Member] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target, broker: Broker) -> AsyncIterator[Chat]:
        """Start the workers."""
        async with AsyncExitStack() as stack:
            workers: list[Worker] = []
            relays: list[Relay] = []

            async def url_of_broker(listener: socket.socket) -> str:
                relay = Relay(listener, broker.port, delay=DELAYS[len(relays)])
                relays.append(await stack.enter_async_context(relay))
                return f"redis://127.0.0.1:{listener.getsockname()[1]}"

            for number in range(WORKERS):
                served = await stack.enter_async_context(target.serve("create_app", url_of_broker))
                api = await stack.enter_async_context(Api.open(served))
                workers.append(Worker(served, api, relays[number]))
            chat = cls(broker, workers)
            stack.push_async_callback(chat._leave)
            yield chat

    async def _leave(self) -> None:
        await asyncio.gather(*(member.client.leave() for member in self._members))

    @property
    def behind(self) -> str:
        """Which broker is behind the workers, where it is not the one of every machine."""
        return "" if isinstance(self.broker, brokers.Small) else f" (with {self.broker.name} behind the workers)"

    async def join(self, worker: int, room: str, after: int | None = None) -> Member:
        """Open a member's socket.

        Raises:
            Failed: there is no handshake.
        """
        query = "" if after is None else f"?after={after}"
        served = self.workers[worker].served
        try:
            client = await Client.open(f"{served.ws}/rooms/{quote(room, safe='')}{query}")
        except (OSError, WebSocketException) as fault:
            why = shown(str(fault)) or "it was not answered in time"
            if errors := await served.errors():
                why += f" (your code raised {shown(errors[-1])})"
            raise Failed(
                f"Sent the opening handshake of a WebSocket to /rooms/{room}{query} of worker {worker + 1}; got "
                f"none "
                f"back: {why}; expected an open connection."
            ) from None
        member = Member(self, client, worker, room, after)
        self._members.append(member)
        return member

    async def join_at_last(self, worker: int, room: str) -> Member:
        """Open a member's socket, again and again until it is open or the time is over; see `join`.

        After an outage, connections to the broker that broke then may be found only when they are used.
        """
        end = time.monotonic() + BACK_DEADLINE
        while True:
            try:
                return await self.join(worker, room)
            except Failed:
                if time.monotonic() > end:
                    raise
            await asyncio.sleep(PAUSE)

    async def join_at_once(self, room: str, workers: Sequence[int]) -> list[Member]:
        """Open several sockets in one instant; see `join`."""
        return await at_once(*(self.join(worker, room) for worker in workers))

    async def explain(self, member: Member) -> None:
        """Note the server's last error with a member whose connection broke."""
        if member.client.broke and (errors := await self.workers[member.worker].served.errors()):
            member.client.raised = errors[-1]

    async def post(self, worker: int, room: str, text: str) -> Exchange:
        """Post a text."""
        path = f"/rooms/{quote(room, safe='')}/messages"
        return await self.workers[worker].api.send("POST", path, {"text": text})

    async def post_at_last(self, worker: int, room: str, text: str) -> Exchange:
        """Post a text, again and again until it is taken or the time is over."""
        end = time.monotonic() + self.patience
        while True:
            answer = await self.post(worker, room, text)
            if answer.ok or time.monotonic() > end:
                return answer
            await asyncio.sleep(PAUSE)

    async def post_at_once(self, room: str, texts: Sequence[str]) -> list[Exchange]:
        """Post all of these in one instant, each to another worker in turn."""
        path = f"/rooms/{quote(room, safe='')}/messages"
        shares = [[{"text": text} for text in texts[number::WORKERS]] for number in range(WORKERS)]
        sending = (
            worker.api.at_once("POST", path, share) for worker, share in zip(self.workers, shares, strict=True)
        )
        return [answer for answers in await at_once(*sending) for answer in answers]

    async def history(self, worker: int, room: str, after: int | None = None) -> tuple[Exchange, list[Post]]:
        """GET what a room still has.

        Raises:
            Failed: it is no history.
        """
        query = "" if after is None else f"?after={after}"
        answer = await self.workers[worker].api.send("GET", f"/rooms/{quote(room, safe='')}/messages{query}")
        value = answer.json()
        found = value.get("messages") if isinstance(value, dict) else None
        posts = [read_post(one) for one in found] if isinstance(found, list) else ["there is no list of messages"]
        if not answer.ok or (flaw := next((post for post in posts if isinstance(post, str)), "")):
            reason = flaw if answer.ok else "the status is no 2xx"
            answer.fail(f'{{"messages": [{{"seq": 42, "text": "…"}}, …]}}, but {reason}')
        return answer, [post for post in posts if isinstance(post, Post)]


@dataclass
class Trial:
    """What an exercise meets: the workers with the kit's own broker behind them, and with Redis where it is there.

    Attributes:
        chats: with each broker; the kit's own is the first.
        note: what was not looked at; empty if everything was.
    """

    chats: list[Chat]
    note: str

    @property
    def chat(self) -> Chat:
        """With the kit's own broker."""
        return self.chats[0]

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncIterator[Trial]:
        """Start brokers and workers."""
        async with AsyncExitStack() as stack:
            small = await stack.enter_async_context(brokers.small())
            chats = [await stack.enter_async_context(Chat.open(target, small))]
            redis = await stack.enter_async_context(brokers.redis())
            if redis:
                chats.append(await stack.enter_async_context(Chat.open(target, redis)))
            needed = f"that takes redis-server {brokers.OLDEST_REDIS} or above"
            yield cls(chats, "" if redis else f"(With Redis itself it was not looked at: {needed}.)")


async def fairly(judging: Awaitable[None], chat: Chat) -> None:
    """Judge, unless the broker does not know a command that Redis knows.

    Raises:
        CannotJudge: so it is.
    """
    try:
        await judging
    except (Failed, CannotJudge) as fault:
        if isinstance(fault, NotAttempted) or not chat.broker.unknown:
            raise
        raise CannotJudge(
            f"{chat.broker.name}, which stands in for Redis, answered a command of yours with "
            f"{as_json(chat.broker.unknown)}. The notebook says which commands it knows."
        ) from fault


def on_both(judge: Callable[[Chat], Any]) -> Callable[[Trial], Any]:
    """A check that judges with each broker behind the workers."""

    async def judged(trial: Trial) -> str:
        judging = (fairly(judge(chat), chat) for chat in trial.chats)
        found = await asyncio.gather(*judging, return_exceptions=True)
        for chat, fault in zip(trial.chats, found, strict=True):
            if isinstance(fault, Failed):
                raise Failed(f"{str(fault).removesuffix('.')}{chat.behind}.")
            if isinstance(fault, BaseException):
                raise fault
        return trial.note

    return judged


def in_words(posts: Sequence[Post]) -> str:
    """Some messages as a person may read them."""
    told = ", ".join(f"{post.seq} {as_json(post.text)}" for post in posts[:4])
    return told + (f" and {len(posts) - 4} more" if len(posts) > 4 else "") or "nothing"


def not_written(member: Member) -> NotAttempted:
    """What tells that nobody wrote a part of the socket yet."""
    return member.client.not_written(f"who opens {member.said}")


@contextlib.contextmanager
def without_broker(*workers: Worker) -> Iterator[None]:
    """Keep some workers from the broker in this block."""
    for worker in workers:
        worker.lose_broker()
    try:
        yield
    finally:
        for worker in workers:
            worker.relay.accept()
