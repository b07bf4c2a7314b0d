"""Lab 09: chat rooms over many workers. Its deliverable is ``create_app(broker_url)``, which makes one worker.

The protocol, as the lab's notebook gives it to learners:

* ``POST /rooms/{room}/messages`` takes ``{"text"}`` and answers 201 with ``{"seq", "text"}``;
* ``GET /rooms/{room}/messages?after=SEQ`` answers with what the room still has, ``{"messages": [{"seq",
  "text"}]}``;
* the WebSocket ``/rooms/{room}`` sends ``{"seq", "text"}`` for each message that is posted once it is open; with
  ``?after=SEQ``, each one after that number;
* ``seq`` grows within a room, whichever worker takes the message.

The broker speaks Redis' protocol. Behind one trio of workers it is the kit's stand-in, `wirelab.small_redis`;
behind another it is Redis itself, where the machine has it. Each worker reaches its broker over a relay of its
own, so that one can be kept from it while the others are not.
"""

from __future__ import annotations

from collections import Counter

from wirelab.checks import CannotJudge, Check, Exercise, Failed, Lab
from wirelab.checks import workers_trials as trials
from wirelab.checks.exchange import as_json
from wirelab.checks.exchange import named as status_named
from wirelab.checks.todo_service import no_handler
from wirelab.checks.workers_stage import (
    SURPLUS,
    WORKERS,
    Chat,
    Member,
    Post,
    Trial,
    fairly,
    in_words,
    new_room,
    new_text,
    not_written,
    on_both,
    read_post,
)
from wirelab.checks.workers_trials import Outage, Return

ALL = f"{trials.IN_TURN + trials.AT_ONCE} messages, to each of the {WORKERS} workers in turn"

# fanout


async def fanout_untouched(trial: Trial) -> None:
    """A message meets a stub."""
    answer = await trial.chat.post(0, new_room(), new_text())
    if await trial.chat.workers[0].api.missing(answer):
        raise no_handler(answer)


@on_both
async def fanout_post(chat: Chat) -> None:
    """What who posts is told."""
    seen = await chat.evidence(trials.crowd)
    last: Post | None = None
    for answer, text in zip(seen.answers, seen.texts, strict=False):
        post = read_post(answer.json())
        if not answer.ok or isinstance(post, str) or post.text != text:
            reason = post if isinstance(post, str) else "the text is another one"
            answer.fail(
                f'{status_named(201)} with {{"seq": 42, "text": {as_json(text)}}}' + f", but {reason}" * answer.ok
            )
        if last and post.seq <= last.seq:
            raise Failed(
                f"Sent a message to one worker, then one to the next; got the seq {last.seq}, then {post.seq}; "
                f"expected "
                "numbers that grow within a room, whichever worker takes the message."
            )
        last = post


@on_both
async def fanout_reach(chat: Chat) -> None:
    """Whom a message reaches."""
    seen = await chat.evidence(trials.crowd)
    for member in seen.members:
        missing = [text for text in seen.texts if text not in set(member.texts)]
        if missing:
            place = seen.texts.index(missing[0])
            first = (
                f"the first that is missing was posted to worker {place % WORKERS + 1}"
                if place < trials.IN_TURN
                else "those that are missing were posted in one instant"
            )
            raise Failed(
                f"Sent {ALL}; got {len(seen.texts) - len(missing)} of them over {member.said} ({member.got}; "
                f"{first}); "
                "expected every message to reach every member, on every worker."
            )


async def reached(chat: Chat) -> trials.Crowd:
    """A crowd in which every message reached every member.

    Raises:
        CannotJudge: some did not.
    """
    seen = await chat.evidence(trials.crowd)
    if any(set(seen.texts) - set(member.texts) for member in seen.members):
        raise CannotJudge("this needs messages that reach every member (fanout.reach).")
    return seen


@on_both
async def fanout_once(chat: Chat) -> None:
    """How often a message comes."""
    seen = await reached(chat)
    for member in seen.members:
        text, count = Counter(member.texts).most_common(1)[0]
        if count > 1:
            place = seen.texts.index(text)
            where = f", which was posted to worker {place % WORKERS + 1}," if place < trials.IN_TURN else ""
            raise Failed(
                f"Sent {ALL}; got {as_json(text)}{where} {count} times over {member.said}; expected every message "
                "once. Who else hands it on, beside the one who hears it from the broker?"
            )


@on_both
async def fanout_order(chat: Chat) -> None:
    """The order in which messages come."""
    seen = await reached(chat)
    first = seen.members[0]
    if any(len(member.posts) != len(seen.texts) for member in seen.members):
        raise CannotJudge("this needs messages that come once (fanout.once).")
    for member in seen.members:
        for one, next_one in zip(member.posts, member.posts[1:], strict=False):
            if next_one.seq <= one.seq:
                raise Failed(
                    f"Sent {ALL}; got the seq {one.seq} and then {next_one.seq} over {member.said}; expected the "
                    "messages in the order of their numbers, also when many are posted in one instant."
                )
        if member.posts != first.posts:
            one, other = next(pair for pair in zip(first.posts, member.posts, strict=True) if pair[0] != pair[1])
            raise Failed(
                f"Sent {ALL}; got {in_words([one])} over {first.said} and {in_words([other])} in the same place "
                f"over "
                f"{member.said}; expected one order of the room, the same for everybody."
            )


FANOUT = Exercise(
    name="fanout",
    title="Reach everybody",
    hints=(
        "A worker cannot know the members of another one. So it tells the broker, and nobody else; and it hands "
        "on "
        "whatever it hears from the broker, its own messages too.",
        "In `post`: `await worker.broker.publish(room, text)` gives the number. In `listen`: `async for message "
        "in "
        "worker.broker.subscribe(room, after)` gives each message of the room, and `worker.deliver` hands it to "
        "the "
        "members here.",
        'In `post`: `seq = await worker.broker.publish(room, text)`, then `return {"seq": seq, "text": text}`. In '
        "`listen`: `async for message in worker.broker.subscribe(room, after):`, and in it `worker.deliver(room, "
        "message)`. No `deliver` in `post`.",
    ),
    checks=(
        Check(
            "fanout.post",
            1.0,
            "POST to any worker answers 201 with the text and a seq that grows, whichever worker it was.",
            "A number is worth something only if all workers take it from one place.",
            fanout_post,
        ),
        Check(
            "fanout.reach",
            1.5,
            "A message posted to any worker reaches every member on every worker.",
            "Which worker a connection comes to is chance; two halves of a room that cannot hear each other are "
            "two rooms.",
            fanout_reach,
        ),
        Check(
            "fanout.once",
            0.75,
            "Every member gets every message once.",
            "Who hears everything from the broker, and its own messages directly as well, hears itself twice.",
            fanout_once,
        ),
        Check(
            "fanout.order",
            0.75,
            f"When {trials.AT_ONCE} messages are posted in one instant, every member gets them in the order of "
            f"their "
            "numbers.",
            "An answer that comes before its question is worse than a late one.",
            fanout_order,
        ),
    ),
    needs=("create_app",),
    opens=Trial.open,
    untouched=fanout_untouched,
    deadline=90.0,
)

# isolation


async def isolation_untouched(trial: Trial) -> None:
    """The history meets a stub."""
    worker = trial.chat.workers[0]
    answer = await worker.api.send("GET", f"/rooms/{new_room()}/messages")
    if await worker.api.missing(answer):
        raise no_handler(answer)


@on_both
async def isolation_live(chat: Chat) -> None:
    """What members hear of other rooms."""
    seen = await chat.evidence(trials.neighbours)
    for room, member in seen.members.items():
        for text in member.texts:
            if text not in seen.texts[room]:
                other = next((name for name, texts in seen.texts.items() if text in texts), "")
                raise Failed(
                    f"Sent {as_json(text)} to the room {as_json(other)}; got it in the room {as_json(room)} too; "
                    "expected it in its own room only."
                )
    for room, member in seen.members.items():
        if set(member.texts) != set(seen.texts[room]):
            raise Failed(
                f"Sent 2 messages to the room {as_json(room)}, while others were sent to rooms with names like "
                f"it; got "
                f"{member.got} there; expected both."
            )


@on_both
async def isolation_history(chat: Chat) -> None:
    """What the history of a room holds."""
    seen = await chat.evidence(trials.neighbours)
    for number, (room, texts) in enumerate(seen.texts.items()):
        # Not the worker that took the messages, nor the one that has the member.
        worker = (number + 2) % WORKERS
        answer, posts = await chat.history(worker, room)
        if [post.text for post in posts] != texts:
            answer.fail(
                f"the 2 messages of this room and no others, {as_json(texts)}, although this worker did not take "
                f"them"
            )
        answer, later = await chat.history(worker, room, posts[0].seq)
        if later != posts[1:]:
            answer.fail(f"what came after seq {posts[0].seq}, {in_words(posts[1:])}")
    answer, posts = await chat.history(0, new_room())
    if posts:
        answer.fail("an empty list, because nobody has posted there")


ISOLATION = Exercise(
    name="isolation",
    title="Keep rooms apart",
    hints=(
        "The broker knows keys, not rooms. Which names of rooms get the same key? And whose history does a worker "
        "have that has just been started?",
        "The key must hold the whole name, as it was written: nothing shortened, nothing made small. The history "
        "comes from the broker: `await worker.broker.history(room, after)`.",
        'In `own_key_of`: `return "room:" + room`. In `get_history`: `return {"messages": await '
        "worker.broker.history(room, after)}`.",
    ),
    checks=(
        Check(
            "isolation.live",
            1.0,
            "A message reaches the members of its own room and nobody in rooms with names like it.",
            "A message in the wrong room cannot be taken back.",
            isolation_live,
        ),
        Check(
            "isolation.history",
            1.0,
            "GET /rooms/{room}/messages on a worker that took none of a room's messages answers with that room's "
            "messages, or those after a number.",
            "What is kept in one worker is missing on all others, and gone with it.",
            isolation_history,
        ),
    ),
    needs=("create_app",),
    opens=Trial.open,
    untouched=isolation_untouched,
    deadline=90.0,
)

# failure


async def failure_untouched(trial: Trial) -> None:
    """Who comes back with a number meets a stub."""
    chat, room = trial.chat, new_room()
    answer = await chat.post(0, room, new_text())
    if await chat.workers[0].api.missing(answer):
        raise no_handler(answer)
    member = await chat.join(1, room, 0)
    await member.client.received(1, 4 * SURPLUS)
    await chat.explain(member)
    if member.client.unwritten and not member.client.messages:
        raise not_written(member)


def judge_return(seen: Return) -> None:
    """Look at what members got that came back.

    Raises:
        Failed: one of them lacks something, or has something twice or in another order.
    """
    for member in seen.members:
        expected = seen.missed(member)
        if member.posts == expected:
            continue
        raise Failed(
            f"Sent {seen.sent}, then opened {member.said}; {_difference(member, expected)}; expected each of the "
            f"{len(expected)} messages after {member.after}, once and in order, those from the history and those "
            f"that "
            "came since."
        )


def _difference(member: Member, expected: list[Post]) -> str:
    seqs = [post.seq for post in member.posts]
    missing = [post.seq for post in expected if post.seq not in seqs]
    twice = [seq for seq, count in Counter(seqs).items() if count > 1]
    old = [seq for seq in seqs if seq <= (member.after or 0)]
    if missing:
        return f"got {member.got}, and never the seq {missing[0]}"
    if twice:
        return f"got the seq {twice[0]} twice"
    if old:
        return f"got the seq {old[0]}, which this member had already"
    return f"got {in_words(member.posts)}, not {in_words(expected)}"


@on_both
async def failure_return(chat: Chat) -> None:
    """A worker that was killed."""
    judge_return(await chat.evidence(trials.killing))


async def failure_busy(trial: Trial) -> None:
    """Coming back while others post."""

    async def judge() -> None:
        judge_return(await trial.chat.evidence(trials.coming))

    await fairly(judge(), trial.chat)


def judge_outage(seen: Outage) -> None:
    """Look at what became of a worker that was without its broker.

    Raises:
        Failed: it does not take messages, or its member lacks some.
    """
    if seen.refused:
        seen.refused.fail(
            "any 2xx, because the broker has been back for some seconds: who has lost it has to try again"
        )
    assert seen.member
    if not seen.whole:
        came = [text for text in seen.member.texts if text in seen.texts]
        lacking = len(set(seen.texts) - set(came))
        got = f"{len(set(came))} of {len(seen.texts)}" if lacking else f"{len(came)} in another order, or twice,"
        got += f" over {seen.member.said}"
        end = f" (then {seen.member.client.end})" if seen.member.client.end else ""
        raise Failed(
            f"Sent {seen.sent}; got {got}{end}; expected all of them, once and in order, soon after the worker "
            "reaches the broker again."
        )


@on_both
async def failure_cut(chat: Chat) -> None:
    """A worker that cannot reach the broker for a while."""
    judge_outage(await chat.evidence(trials.cut))


@on_both
async def failure_restart(chat: Chat) -> None:
    """A broker that was started anew."""
    judge_outage(await chat.evidence(trials.restart))


FAILURE = Exercise(
    name="failure",
    title="Lose a worker, lose the broker",
    hints=(
        "A member that comes back needs two things: what it missed, from the history, and what comes now, from "
        "its "
        "queue. And a listener that has lost its broker has to know where it stood.",
        "In `send_from`, send `await worker.broker.history(room, after)` first, and remember the last number: "
        "what "
        "is in the queue with a number up to it has been sent. In `keep_listening`, call "
        "`worker.broker.subscribe(room, after)` again after each `LOST`, with the last number that you delivered.",
        "In `send_from`: `for message in await worker.broker.history(room, after):` send it, `after = "
        'message["seq"]`. '
        'Then `while True:`, `message = await queue.get()`, and if `message["seq"] > after`, send it. In '
        '`keep_listening`: `while True:`, `try:` the loop of `listen` with `after = message["seq"]` after each '
        "`deliver`, `except LOST: await asyncio.sleep(random.uniform(0, MAX_DELAY))`.",
    ),
    checks=(
        Check(
            "failure.return",
            1.0,
            "Members of a killed worker come back on another with the last seq they have, and get what they "
            "missed "
            "and what comes, once and in order.",
            "A worker may go at any moment, be it by a crash or by an update. Nobody should notice.",
            failure_return,
        ),
        Check(
            "failure.busy",
            1.0,
            f"{trials.COMERS} members that come back while messages are posted, and while the history takes its "
            f"time, "
            "get each message once and in order.",
            "Between the history and what comes there is a seam, and in a busy room something falls on it every "
            "time.",
            failure_busy,
        ),
        Check(
            "failure.cut",
            1.0,
            "When a worker cannot reach the broker for a while, its members get what was posted meanwhile to "
            "others.",
            "A subscription lives in a connection: when that breaks, nobody tells the worker what it did not "
            "hear.",
            failure_cut,
        ),
        Check(
            "failure.restart",
            1.0,
            "After a restart of the broker every worker takes messages again, and every member gets them.",
            "A broker is updated as well. Workers that have to be started by hand after it keep somebody awake.",
            failure_restart,
        ),
    ),
    needs=("create_app",),
    opens=Trial.open,
    untouched=failure_untouched,
    deadline=120.0,
)

LAB = Lab(
    name="09_many_workers",
    title="Many workers",
    deliverables={"create_app": "asgi_factory"},
    exercises={exercise.name: exercise for exercise in (FANOUT, ISOLATION, FAILURE)},
)
