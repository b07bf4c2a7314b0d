"""Experiments with three workers: crowds, neighbouring rooms, workers that die, and a broker that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from wirelab.checks import CannotJudge, Failed
from wirelab.checks.evidence import at_once
from wirelab.checks.exchange import Exchange
from wirelab.checks.workers_broker import Small
from wirelab.checks.workers_stage import (
    SURPLUS,
    WORKERS,
    Chat,
    Member,
    Post,
    new_room,
    new_text,
    without_broker,
)

# Messages one after the other, and in one instant.
IN_TURN, AT_ONCE = 6, 30
# Members that come back while messages are posted; seconds between two of them, and between two messages.
COMERS, COMING, POSTING = 6, 0.06, 0.012
# Seconds that the small Redis takes for a history meanwhile.
SLOW = 0.1
# Seconds for which a worker is kept from the broker.
AWAY = 0.3
# Seconds for a history to come, and for a message to be taken that cannot be passed on.
SETTLING, TAKING = 2.0, 3.0


@dataclass
class Crowd:
    """A room with members on every worker.

    Attributes:
        answers: to the messages that were posted one after the other, to a worker each in turn.
        texts: all that were posted.
        members: who was there from the start.
    """

    answers: list[Exchange]
    texts: list[str]
    members: list[Member]


async def crowd(chat: Chat) -> Crowd:
    """Post one after the other, then many in one instant."""
    room = new_room()
    members = await chat.join_at_once(room, [*range(WORKERS)] * 2)
    texts = [new_text() for _ in range(IN_TURN)]
    answers = [await chat.post(number % WORKERS, room, text) for number, text in enumerate(texts)]
    many = [new_text() for _ in range(AT_ONCE)]
    refused = [answer for answer in await chat.post_at_once(room, many) if not answer.ok]
    if refused and all(answer.ok for answer in answers):
        refused[0].fail("any 2xx, because many may post in the same instant")
    texts += many
    for member in members:
        if len(refused) == len(many) or not await member.has(texts):
            break
    await asyncio.sleep(SURPLUS)
    for member in members:
        await chat.explain(member)
    return Crowd(answers, texts, members)


@dataclass
class Neighbours:
    """Rooms with names that are alike.

    Attributes:
        texts: what was posted to each room.
        members: one in each room.
    """

    texts: dict[str, list[str]]
    members: dict[str, Member]


def alike() -> list[str]:
    """Names of rooms that a careless program takes for one another."""
    name = f"Tea{secrets.token_hex(2)}"
    long = f"{name}-{'x' * 40}"
    return [name, name.lower(), f"{name}-2", f"{name}:seq", f"{name[:5]}*", f"{name} ü", f"{long}a", f"{long}b"]


async def neighbours(chat: Chat) -> Neighbours:
    """Post to rooms with names that are alike, each time to a worker that has no member of that room."""
    rooms = alike()
    joined = await at_once(*(chat.join(number % WORKERS, room) for number, room in enumerate(rooms)))
    members = dict(zip(rooms, joined, strict=True))
    texts: dict[str, list[str]] = {room: [] for room in rooms}
    for _ in range(2):
        for number, room in enumerate(rooms):
            texts[room].append(new_text())
            answer = await chat.post((number + 1) % WORKERS, room, texts[room][-1])
            if not answer.ok:
                raise CannotJudge(f"this needs POST /rooms/{{room}}/messages (exercise fanout). {answer.said}.")
    for room in rooms:
        if not await members[room].has(texts[room]):
            break
    await asyncio.sleep(SURPLUS)
    return Neighbours(texts, members)


async def fault(chat: Chat) -> str:
    """What keeps messages from the members of every worker, once and in one order; empty if nothing does."""
    room, texts = new_room(), [new_text() for _ in range(WORKERS)]
    try:
        members = await chat.join_at_once(room, range(WORKERS))
        for number, text in enumerate(texts):
            await chat.post(number, room, text)
        for member in members:
            if not await member.has(texts):
                return f"Got {member.got} over {member.said}."
        await asyncio.sleep(SURPLUS)
        for member in members:
            if member.texts != texts or not in_order(member.posts):
                return f"Got {member.got} over {member.said}."
    except Failed as failed:
        return str(failed)
    return ""


async def healthy(chat: Chat) -> None:
    """See that messages reach the members of every worker, once and in one order.

    Raises:
        CannotJudge: they do not.
    """
    if found := await chat.evidence(fault):
        needs = "this needs messages that reach every member once and in the room's order (exercise fanout)"
        raise CannotJudge(f"{needs}. {found}")


def in_order(posts: Sequence[Post]) -> bool:
    """Whether numbers grow from message to message."""
    return all(one.seq < other.seq for one, other in pairwise(posts))


async def taken(chat: Chat, worker: int, room: str, text: str) -> None:
    """Post a text.

    Raises:
        CannotJudge: it was refused.
    """
    answer = await chat.post(worker, room, text)
    if not answer.ok:
        raise CannotJudge(f"this needs POST /rooms/{{room}}/messages (exercise fanout). {answer.said}.")


@dataclass
class Return:
    """Members that came back.

    Attributes:
        posts: the room's messages, as a member had them that never left.
        members: who came back, with what it said it had.
        sent: what was done, in words.
    """

    posts: list[Post]
    members: list[Member]
    sent: str

    def missed(self, member: Member) -> list[Post]:
        """What a member had to get."""
        return [post for post in self.posts if post.seq > (member.after or 0)]


async def killing(chat: Chat) -> Return:
    """Kill a worker; its member comes back on the others, with what it had."""
    await healthy(chat)
    room = new_room()
    lost, stayed = await chat.join_at_once(room, [0, 1])
    texts = [new_text() for _ in range(8)]
    for number, text in enumerate(texts[:3]):
        await taken(chat, number % WORKERS, room, text)
    if not await lost.has(texts[:3]):
        raise CannotJudge("this needs messages that reach every member (exercise fanout).")
    had = lost.posts[-1].seq
    await chat.workers[0].served.kill()
    for number, text in enumerate(texts[3:6]):
        await taken(chat, 1 + number % 2, room, text)
    await stayed.has(texts[:6])
    # The second worker has had a member in this room, the third has not.
    members = [await chat.join(worker, room, after) for worker in (1, 2) for after in (had, 0)]
    for member in members:
        if not await member.has(texts[3:6], SETTLING):
            break
    for number, text in enumerate(texts[6:]):
        await taken(chat, 1 + number % 2, room, text)
    await _settle(chat, stayed, members, texts)
    return Return(stayed.posts, members, "messages to the room, kill -9 to worker 1, and more messages")


async def coming(chat: Chat) -> Return:
    """Let members come back one after the other while messages are posted, and histories take their time."""
    await healthy(chat)
    room = new_room()
    stayed = await chat.join(1, room)
    texts = [new_text() for _ in range(3)]
    for text in texts:
        await taken(chat, 2, room, text)
    if not await stayed.has(texts):
        raise CannotJudge("this needs messages that reach every member (exercise fanout).")
    had, done = stayed.posts[0].seq, asyncio.Event()

    async def post() -> list[Member]:
        while not done.is_set():
            texts.append(new_text())
            await taken(chat, 2, room, texts[-1])
            await asyncio.sleep(POSTING)
        return []

    async def come() -> list[Member]:
        members = []
        try:
            for number in range(COMERS):
                members.append(await chat.join(1 + number % 2, room, had))
                await asyncio.sleep(COMING)
            return members
        finally:
            done.set()

    assert isinstance(chat.broker, Small)
    with chat.broker.slow(dict.fromkeys(("XRANGE", "LRANGE", "ZRANGE", "ZRANGEBYSCORE"), SLOW)):
        members = (await at_once(post(), come()))[1]
        await _settle(chat, stayed, members, texts)
    return Return(stayed.posts, members, "messages to the room, one after the other, while members came back")


async def _settle(chat: Chat, stayed: Member, members: Sequence[Member], texts: Sequence[str]) -> None:
    """Wait until everybody has what it lacks.

    Raises:
        CannotJudge: not even the member that stayed has everything.
    """
    if not await stayed.has(texts):
        raise CannotJudge(
            f"this needs messages that reach every member (exercise fanout); got {stayed.got} over {stayed.said}."
        )
    for member in members:
        expected = [post.text for post in stayed.posts if post.seq > (member.after or 0)]
        if not await member.has(expected):
            break
    await asyncio.sleep(SURPLUS)
    for member in members:
        await chat.explain(member)


@dataclass
class Outage:
    """Members of workers that were without a broker for a while.

    Attributes:
        sent: what was done, in words.
        texts: what was taken.
        member: of the second worker, which was away longest.
        refused: what was not taken although the broker was back, if that was so.
    """

    sent: str
    texts: list[str] = field(default_factory=list)
    member: Member | None = None
    refused: Exchange | None = None

    @property
    def whole(self) -> bool:
        """Whether the member has everything that was taken, once and in the room's order."""
        return self.member is not None and self.is_whole_for(self.member)

    def is_whole_for(self, member: Member) -> bool:
        """Whether a member has everything that was taken, once and in the room's order."""
        came = [text for text in member.texts if text in self.texts]
        return sorted(came) == sorted(self.texts) and in_order(member.posts)


async def cut(chat: Chat) -> Outage:
    """Keep one worker from the broker while messages are posted to another."""
    await healthy(chat)
    room = new_room()
    seen = Outage("messages to worker 3 while worker 2 could not reach the broker")
    away, there = await chat.join_at_once(room, [1, 2])
    seen.member = away
    seen.texts = [new_text() for _ in range(5)]
    await taken(chat, 2, room, seen.texts[0])
    if not await away.has(seen.texts[:1]):
        raise CannotJudge("this needs messages that reach every member (exercise fanout).")
    with without_broker(chat.workers[1]):
        for text in seen.texts[1:4]:
            await taken(chat, 2, room, text)
        await there.has(seen.texts[:4])
        await asyncio.sleep(AWAY)
    await taken(chat, 2, room, seen.texts[4])
    await away.has_at_last(seen.texts)
    await asyncio.sleep(SURPLUS)
    await chat.explain(away)
    return seen


async def restart(chat: Chat) -> Outage:
    """Start the broker anew; one worker finds it later than another."""
    await healthy(chat)
    room = new_room()
    seen = Outage("messages to the room after the broker had been started anew")
    late, early = [await chat.join_at_last(worker, room) for worker in (1, 2)]
    seen.member = late
    if not await _post_again(chat, 2, room, seen):
        return seen
    first = seen.texts[0]
    if not (await late.has([first]) and await early.has([first])):
        raise CannotJudge("this needs messages that reach every member (exercise fanout).")
    with without_broker(chat.workers[1]):
        with without_broker(chat.workers[2]):
            trying = [asyncio.ensure_future(_try_to_post(chat, worker, room)) for worker in (1, 2)]
            await chat.broker.restart()
            await asyncio.sleep(AWAY)
        for _ in range(2):
            if not await _post_again(chat, 2, room, seen):
                return seen
    seen.texts += [text for text in await asyncio.gather(*trying) if text]
    if await _post_again(chat, 1, room, seen):
        if await late.has_at_last(seen.texts):
            await early.has_at_last(seen.texts)
        if late.has_all(seen.texts) and not seen.is_whole_for(early):
            seen.member = early
        await asyncio.sleep(SURPLUS)
        await chat.explain(seen.member)
    return seen


async def _try_to_post(chat: Chat, worker: int, room: str) -> str:
    """Post while that can hardly succeed; the text if it was taken all the same, else nothing."""
    text = new_text()
    with contextlib.suppress(TimeoutError, Failed):
        async with asyncio.timeout(TAKING):
            if (await chat.post(worker, room, text)).ok:
                return text
    return ""


async def _post_again(chat: Chat, worker: int, room: str, seen: Outage) -> bool:
    text = new_text()
    answer = await chat.post_at_last(worker, room, text)
    if answer.ok:
        seen.texts.append(text)
    else:
        seen.refused = answer
    return answer.ok
