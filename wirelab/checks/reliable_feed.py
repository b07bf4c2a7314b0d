"""Lab 06: a feed that its clients can rely on, and a client that stays connected.

Its deliverables are ``rooms``, a handler for ``websockets.asyncio.server.serve``, and
``stay_connected(uri, token, symbols)``, an async generator. Their protocol stands in ``feed_protocol``.
"""

from __future__ import annotations

from wirelab.checks import CannotJudge, Check, Exercise, Failed, Lab, NotAttempted
from wirelab.checks import feed_calls as calls
from wirelab.checks import feed_trials as trials
from wirelab.checks.exchange import as_json, shown
from wirelab.checks.feed_clients import Rooms, fail, values
from wirelab.checks.feed_protocol import (
    ANSWERS,
    FIRST_DELAY,
    GOOD_SPELL,
    MAX_DELAY,
    NOTICE,
    QUEUE,
    TOO_SLOW,
    Object,
    answer_flaw,
    error,
    gap,
    is_number,
)
from wirelab.checks.feed_server import FAULTS, Call, Stage
from wirelab.checks.websocket_clients import in_words, named

# topics


async def topics_untouched(rooms: Rooms) -> None:
    """Whoever subscribes, publishes or talks nonsense meets a stub."""
    seen = await rooms.evidence(trials.conversation)
    unwritten = [client for client in seen.clients if client.unwritten]
    if unwritten:
        raise unwritten[0].not_written(f"who sends {unwritten[0].said}")
    nonsense = await rooms.evidence(trials.talked_nonsense)
    if nonsense.talker.unwritten:
        raise nonsense.talker.not_written("who sends what is no request")


async def topics_answers(rooms: Rooms) -> None:
    """Each request is acknowledged."""
    seen = await rooms.evidence(trials.conversation)
    for one in seen.asked:
        due = {"type": ANSWERS[one.request["type"]], "symbol": one.request["symbol"]}
        flaw = answer_flaw(one.request, one.answer.content) if one.answer else ""
        if not one.answer or flaw:
            got = in_words(one.answer.raw) if one.answer else one.client.got_since(one.at) + seen.raised
            more = "" if due["type"] == "unsubscribed" else ', "seq": …'
            fail(
                as_json(one.request),
                got,
                f"one answer, {as_json(due)[:-1]}{more}}}" + (f"; {flaw}" if flaw else ""),
            )


async def topics_updates(rooms: Rooms) -> None:
    """What is published reaches those who listen, once and in order."""
    seen = await rooms.evidence(trials.conversation)
    for listening in _listened(seen):
        sent = [one.request["data"] for one in listening.sent]
        got = values(listening.got, "data")
        if got != sent:
            _fail_listening(
                listening,
                as_json(got) + seen.raised,
                f"the data of each of these updates, once and in order: {as_json(sent)}",
            )


async def topics_seq(rooms: Rooms) -> None:
    """Updates are numbered within their symbol."""
    for listening in _listened(await rooms.evidence(trials.conversation)):
        # Whether they come once is for another check.
        first, numbers = listening.subscription.seq, list(dict.fromkeys(values(listening.got, "seq")))
        if not listening.got or not is_number(first):
            raise CannotJudge(f"{listening.who} got no updates, or no seq with its subscription.")
        due = list(range(first + 1, first + 1 + len(numbers)))
        if numbers != due:
            _fail_listening(
                listening,
                f"updates with seq {as_json(numbers)}",
                f"{as_json(due)}: its subscription was answered with seq {first}, and from there each update of "
                "this symbol, whatever comes between, has one more",
            )
        told = [one.seq for one in listening.sent]
        if numbers != told:
            _fail_listening(
                listening,
                f"updates with seq {as_json(numbers)}",
                f"{as_json(told)}, as the publisher was told",
            )


def _listened(seen: trials.Conversation) -> list[trials.Listening]:
    for one in seen.stretches:
        answer = one.subscription.answer
        if answer is None or answer.content.get("type") != "subscribed":
            raise CannotJudge("a subscription was not acknowledged.")
    return [one for one in seen.stretches if one.sent]


def _fail_listening(listening: trials.Listening, got: str, expected: str) -> None:
    raise Failed(
        f"Sent {len(listening.sent)} updates of {as_json(listening.symbol)} while {listening.who} listened; it "
        f"got {shown(got)}; expected {shown(expected)}."
    )


async def topics_only(rooms: Rooms) -> None:
    """Nobody gets what they did not ask for."""
    seen = await rooms.evidence(trials.conversation)
    if not any(listening.got for listening in _listened(seen)):
        raise CannotJudge("nobody got any updates.")
    if seen.strays:
        fail(
            "updates of three symbols",
            f"{len(seen.strays)} that were not asked for: {shown(seen.strays[0])}",
            "each client to get the symbols that it has subscribed to, and not unsubscribed from",
        )


async def topics_malformed(rooms: Rooms) -> None:
    """What is no request costs nothing but an error."""
    seen = await rooms.evidence(trials.talked_nonsense)
    if seen.flaw:
        raise Failed(f"Sent {seen.flaw}; expected {as_json(error('…'))}, because {seen.fault}.")
    if seen.lost:
        fail("what is no request", f"the errors, but {seen.lost}", "everything else to go on as before")


TOPICS = Exercise(
    name="topics",
    title="Rooms, and numbers in them",
    hints=(
        "A room is a set of connections, `members[symbol]`, and a number, `numbers[symbol]`. Subscribing adds to "
        "the set, unsubscribing takes out of it, and neither touches any other room.",
        'Patterns tell requests apart: `case {"type": "subscribe", "symbol": str(symbol)} if symbol:` takes only '
        "a text that is not empty. `case _:` takes all the rest, and answers with an error. `json.loads` raises "
        "`ValueError` for what is no JSON, and may give a list or a number.",
        'In `next_update`: `numbers[symbol] += 1`, and `return {"type": "update", "symbol": symbol, "seq": '
        'numbers[symbol], "data": data}`. In `parsed`: `with suppress(ValueError):`, in it `request = '
        "json.loads(text)` and `if isinstance(request, dict): return request`; behind it `return {}`. In "
        '`answer`, for each of the two patterns: `members[symbol].add(websocket)` and `return {"type": '
        '"subscribed", "symbol": symbol, "seq": numbers[symbol]}`, or `members[symbol].discard(websocket)` '
        'and `return {"type": "unsubscribed", "symbol": symbol}`; for all else `return {"type": "error", '
        '"error": "Not understood"}`.',
    ),
    checks=(
        Check(
            "topics.answers",
            0.5,
            "Each subscribe, unsubscribe and publish has one answer: subscribed, unsubscribed or published, with "
            "the symbol, and the seq where there is one.",
            "Without an answer, a client cannot know from which moment on it would have got an update.",
            topics_answers,
        ),
        Check(
            "topics.updates",
            0.5,
            "What is published to a symbol reaches all who have subscribed to it, once and in order, also who "
            "subscribed twice.",
            "This is the room's one promise; everything else in this lab keeps it under strain.",
            topics_updates,
        ),
        Check(
            "topics.seq",
            0.5,
            "The seq of an update is one more than that of the update before it in the same symbol.",
            "A number that leaves no holes is how a client finds out that it missed something.",
            topics_seq,
        ),
        Check(
            "topics.only",
            0.5,
            "Nobody gets an update of a symbol that they have not asked for, or have left.",
            "Filtering at the client costs everybody bytes, and shows them what may not be theirs.",
            topics_only,
        ),
        Check(
            "topics.malformed",
            0.5,
            'What is no request gets one {"type": "error"}; the connection and its subscriptions stay.',
            "A typing error should cost a message, not a session.",
            topics_malformed,
        ),
    ),
    needs=("rooms",),
    opens=Rooms.open,
    untouched=topics_untouched,
)


# slow


async def slow_untouched(rooms: Rooms) -> None:
    """With a reader that has stopped, who publishes meets a stub."""
    seen = await rooms.evidence(trials.stopped)
    if seen.publisher.unwritten or seen.stopped.unwritten:
        who = seen.publisher if seen.publisher.unwritten else seen.stopped
        raise who.not_written("who publishes while a reader has stopped")


async def slow_others(rooms: Rooms) -> None:
    """The others do not notice."""
    seen = await rooms.evidence(trials.stopped)
    if seen.others:
        fail(
            seen.told,
            seen.others,
            "each update to reach the others at once: whoever waits for one reader makes all of them wait",
        )
    burst = await rooms.evidence(trials.burst)
    if len(burst.reader.updates(burst.symbol)) < burst.sent or burst.reader.ending:
        fail(
            f"{burst.sent} updates at once to a reader who reads all the time",
            f"{len(burst.reader.updates(burst.symbol))} of them"
            + (f", and {burst.reader.end}" * bool(burst.reader.end)),
            f"all of them: up to {QUEUE} may wait for a client",
        )


def _went_on(seen: trials.Stopped) -> None:
    if seen.blocked:
        raise CannotJudge(f"this needs others that go on. Sent {seen.told}; got {seen.others}.")


async def slow_memory(rooms: Rooms) -> str | None:
    """The server does not keep what the reader does not take."""
    seen = await rooms.evidence(trials.stopped)
    _went_on(seen)
    if seen.growth is None:
        return "(The memory of your server shows only in `wirelab grade`.)"
    if seen.growth > trials.GROWTH:
        fail(
            seen.told,
            f"a server that grew by {seen.growth / 1e6:.0f} MB",
            f"at most {QUEUE} updates to wait for a reader, {QUEUE * trials.SIZE / 1e6:.0f} MB of them here",
        )
    return None


async def slow_code(rooms: Rooms) -> None:
    """The reader learns why it was dropped."""
    seen = await rooms.evidence(trials.stopped)
    _went_on(seen)
    code = seen.dropped.code if seen.dropped else None
    if code != TOO_SLOW:
        ending = seen.stopped.end or "no end"
        fail(
            seen.told,
            f"{seen.got} of them at one of those readers, when it went on, and then {ending}",
            f"what was under way, and then {named(TOO_SLOW)}: it could not keep up, so it has to know that it "
            "missed something",
        )


SLOW = Exercise(
    name="slow",
    title="A reader that stops",
    hints=(
        "Never `await` a client where an update is handed out. Put the update into a queue of that client, and "
        "let a task of its own send what is in there.",
        "`queue.put_nowait(text)` raises `asyncio.QueueFull` at once if there is no room. Then the client "
        "has to go: out of every room first, so that nothing more is put in, and then closed. Closing takes "
        "time, so it is work for the background too; the goodbye above does that.",
        "In `write`: `while True: await websocket.send(await queues[websocket].get())`. In `post`: `try: "
        "queues[websocket].put_nowait(text)`, `except asyncio.QueueFull:`, and under it "
        "`leave_all(websocket)` and `say_goodbye(websocket, TOO_SLOW)`.",
    ),
    checks=(
        Check(
            "slow.others",
            1.0,
            "While one reader has stopped, every update reaches the others at once, and nobody else is dropped.",
            "A phone in a tunnel must not be felt at the desk of everybody else.",
            slow_others,
        ),
        Check(
            "slow.memory",
            0.5,
            f"At most {QUEUE} updates wait for a reader: the server does not grow with what it does not take.",
            "A queue without a bound turns one slow reader into a server that is out of memory.",
            slow_memory,
        ),
        Check(
            "slow.code",
            0.5,
            f"A reader for whom more than {QUEUE} updates wait is dropped with close code {TOO_SLOW}.",
            "With a code of its own, a client can tell 'I was too slow' from 'the network broke'.",
            slow_code,
        ),
    ),
    needs=("rooms",),
    opens=Rooms.open,
    untouched=slow_untouched,
    deadline=60.0,
)


# heartbeat


async def heartbeat_untouched(rooms: Rooms) -> None:
    """Nobody is asked whether they live."""
    seen = await rooms.evidence(trials.watched)
    clients = [*seen.frozen.values(), seen.silent]
    unwritten = [client for client in clients if client.unwritten]
    if unwritten:
        raise unwritten[0].not_written("a client that says nothing")
    if not any(client.pings or client.ending for client in clients):
        raise NotAttempted(f"no client got a ping within {seen.seconds:.0f} seconds.")


async def heartbeat_frozen(rooms: Rooms) -> None:
    """Who does not answer is given up."""
    seen = await rooms.evidence(trials.watched)
    for which, client in seen.frozen.items():
        if not client.ending:
            pings = f"{len(client.pings)} pings" if client.pings else "no ping"
            fail(
                f"no answer to any ping from a client {which}, as when its machine froze",
                f"{pings} and no end within {seen.seconds:.0f} s",
                f"the connection to be ended within {NOTICE:g} s",
            )


async def heartbeat_silent(rooms: Rooms) -> None:
    """Who answers stays."""
    client = (await rooms.evidence(trials.watched)).silent
    if client.ending:
        fail(
            f"no message, but an answer to each of {len(client.pings)} pings",
            client.end,
            "the client to stay: it listens, and has nothing to say",
        )
    if len(client.pings) < 2:
        raise CannotJudge("a client that answers was not asked twice whether it lives.")


HEARTBEAT_EXERCISE = Exercise(
    name="heartbeat",
    title="Hunt the bug: is anybody there?",
    hints=(
        "`await websocket.ping()` waits until the ping is sent. Nobody waits for the answer: what does `ping` "
        "return?",
        "It returns something that can be awaited until the pong has come. Put a limit on that, "
        "`async with asyncio.timeout(HEARTBEAT):`, and end the connection when the limit is over.",
        "In a loop: `await asyncio.sleep(HEARTBEAT)`; `try:` `async with asyncio.timeout(HEARTBEAT): await (await "
        "websocket.ping())`; `except TimeoutError:` `websocket.transport.abort()` and `return`.",
    ),
    checks=(
        Check(
            "heartbeat.frozen",
            0.5,
            f"A client that answers no ping has its connection ended within {NOTICE:g} seconds.",
            "A machine that froze closes nothing. Without a question nobody would ever know.",
            heartbeat_frozen,
        ),
        Check(
            "heartbeat.silent",
            0.5,
            "A client that says nothing, but answers pings, stays connected.",
            "Most clients of a feed only listen. Silence is not death.",
            heartbeat_silent,
        ),
    ),
    needs=("rooms",),
    opens=Rooms.open,
    untouched=heartbeat_untouched,
)


# reconnect


async def reconnect_untouched(stage: Stage) -> None:
    """Calling it gives NotImplementedError, at once or when something has to be done."""
    seen = await stage.evidence(calls.reconnections)
    await _need_written(stage, *(cut.call for cut in seen.cuts), *(refused.call for refused in seen.refusals))


async def _need_written(stage: Stage, *made: Call) -> None:
    for call in made:
        if await stage.unwritten(call):
            raise NotAttempted("stay_connected() still raises NotImplementedError.")


def _flaw(call: Call) -> str:
    return next((visit.flaw for visit in call.visits if visit.flaw), "")


def _need_begun(cut: calls.Cut) -> None:
    if not cut.began:
        call = cut.call
        asked = [len(visit.subscribed) for visit in call.visits]
        got = _flaw(call) or call.end
        if not got and not call.visits:
            got = "no connection came"
        if not got and asked[-1] < len(call.symbols):
            got = f"it asked for {asked[-1]} of {len(call.symbols)} symbols"
        raise CannotJudge(
            f"this needs a client that begins. {call.called}; {got or 'the caller did not get the updates'}; "
            "expected it to say hello, to subscribe to each symbol, and to yield each update."
        )


def _cut_off(cut: calls.Cut) -> str:
    return f"{cut.call.called} and sent it an update of each symbol. Then the server {FAULTS[cut.fault]}"


async def reconnect_returns(stage: Stage) -> None:
    """It comes back."""
    for cut in (await stage.evidence(calls.reconnections)).cuts:
        _need_begun(cut)
        if not cut.returned:
            waited = f"no new connection within {calls.IN_TIME[cut.fault]:g} s"
            frozen = f", since a freeze has to be noticed within {NOTICE:g} s" if cut.fault == "freeze" else ""
            raise Failed(
                f"{_cut_off(cut)}; got {cut.call.end or waited}; expected the client to come back by "
                f"itself{frozen}."
            )


async def reconnect_subscribes(stage: Stage) -> None:
    """It asks for everything again."""
    returned = [cut for cut in (await stage.evidence(calls.reconnections)).cuts if cut.returned]
    if not returned:
        raise CannotJudge("the client did not come back.")
    for cut in returned:
        if not cut.resubscribed:
            asked = sorted(cut.call.visits[-1].subscribed)
            names = as_json(asked) if asked else "nothing"
            got = _flaw(cut.call) or cut.call.end or f"it came back, and asked for {names}"
            raise Failed(
                f"{_cut_off(cut)}; {got}; expected it to say hello and to subscribe to each of its symbols, as a "
                "new connection knows nothing of the old one."
            )
        if not cut.goes_on:
            raise Failed(
                f"{_cut_off(cut)}, it came back, and was sent another update of each symbol; "
                f"{cut.call.end or 'the caller did not get them'}; expected the caller to get them."
            )


async def _absences(stage: Stage) -> calls.Absences:
    seen = (await stage.evidence(calls.reconnections)).absences
    if seen is None:
        raise CannotJudge("this needs a client that comes back after a reset.")
    return seen


def _ways(how: str) -> str:
    return {
        "refused": "answered with HTTP 503",
        "reset": "reset",
        "restart": f"closed with {named(1012)}",
        "": "not even sent away",
    }[how]


async def reconnect_delays(stage: Stage) -> None:
    """It stays away longer and longer, and not all clients equally long."""
    seen = await _absences(stage)
    if seen.stuck:
        call, how = seen.stuck
        raise Failed(
            f"{call.called}, and sent it away several times in a row, at last it was {_ways(how)}; got "
            f"{call.end or 'no new connection'}; expected it to try again each time."
        )
    sent = f"Sent {calls.CALLS} clients away {len(calls.OFTEN)} times in a row"
    if not seen.grows:
        raise Failed(
            f"{sent}; got mean delays of {seen.told}; expected them to grow: drawn below a bound that begins at "
            f"{FIRST_DELAY:g} s and doubles each time, up to {MAX_DELAY:g} s. (A welcome alone is no good spell.)"
        )
    if seen.jitter < calls.JITTER:
        raise Failed(
            f"{sent}; got mean delays of {seen.told}, from which single clients differ by "
            f"{100 * seen.jitter:.0f} % only; expected at least half of each delay to be drawn at random, or all "
            "who were cut off together come back together."
        )


async def reconnect_anew(stage: Stage) -> None:
    """After a good spell it begins with short delays again."""
    seen = await _absences(stage)
    if seen.stuck:
        raise CannotJudge("this needs a client that tries again each time.")
    if not seen.grows:
        raise CannotJudge("the delays do not grow, so there is nothing to start over from.")
    if not seen.starts_over:
        mean = sum(seen.anew) / len(seen.anew)
        raise Failed(
            f"Sent {calls.CALLS} clients away {len(calls.OFTEN)} times in a row, which gave mean delays of "
            f"{seen.told}, then let them stay for {1.3 * GOOD_SPELL:g} s, and cut them off once more; got a mean "
            f"delay of {1000 * mean:.0f} ms; expected it to begin anew, since {GOOD_SPELL:g} s are a good spell."
        )


async def reconnect_refused(stage: Stage) -> None:
    """After 1008 it stays away, and says so."""
    seen = [one for one in (await stage.evidence(calls.reconnections)).refusals if one.complete]
    if not seen:
        raise CannotJudge("this needs a client that begins, and subscribes.")
    for one in seen:
        sent = f"{one.call.called}, and {one.when} sent it an error and {named(1008)}"
        if one.came_back:
            raise Failed(
                f"{sent}; got another connection; expected none: who is refused now will be refused again."
            )
        if not one.call.error or "PermissionError" not in one.call.error.names:
            raise Failed(f"{sent}; got {one.call.end or 'nothing more'}; expected it to raise PermissionError.")


RECONNECT = Exercise(
    name="reconnect",
    title="A client that comes back",
    hints=(
        "Tell three things apart: a connection that never came about, one that broke soon, and one that was "
        "good for a while. Count failures, and begin the count anew only after a good spell.",
        "In `stay_connected` stand `while True:` and `with suppress(*BROKEN):` around the loop over "
        "`session(uri, token, symbols, seen)`: what ends a connection is in `BROKEN`, and what is not ends "
        "the loop. The code that the server sent is `end.rcvd.code`, and `end.rcvd` is None if it sent none. "
        "To notice a freeze takes three options of `connect`: one for the pings, one for their answers, and "
        "one for the goodbye that nobody answers.",
        'In `keepalive`: `return {"ping_interval": HEARTBEAT, "ping_timeout": HEARTBEAT, "close_timeout": '
        "HEARTBEAT}`. In `is_final`: `return end.rcvd is not None and end.rcvd.code == 1008`. In `delay`: "
        "`return random.uniform(0, min(MAX_DELAY, FIRST_DELAY * 2 ** (failures - 1)))`. In `stay_connected`: "
        "`seen, failures = {}, 0`, then in `while True:` first `began = time.monotonic()`, then `with "
        "suppress(*BROKEN):`, in it `async for news in session(uri, token, symbols, seen): yield news`; "
        "behind the `with`: `failures = 1 if time.monotonic() - began > GOOD_SPELL else failures + 1`, and "
        "`await asyncio.sleep(delay(failures))`.",
    ),
    checks=(
        Check(
            "reconnect.returns",
            0.75,
            f"The client comes back after a reset, after close code 1012, and after a freeze, which it notices "
            f"within {NOTICE:g} seconds.",
            "Connections break; programs that use them should not.",
            reconnect_returns,
        ),
        Check(
            "reconnect.subscribes",
            0.5,
            "Each time it comes back it says hello, and subscribes to all of its symbols again.",
            "A client that is connected to nothing looks healthy, and waits for ever.",
            reconnect_subscribes,
        ),
        Check(
            "reconnect.delays",
            0.5,
            "From failure to failure the delays grow, and they differ from client to client.",
            "A thousand clients that come back at once are what the server fell over in the first place.",
            reconnect_delays,
        ),
        Check(
            "reconnect.anew",
            0.25,
            f"After a good spell of {GOOD_SPELL:g} s the delays start over.",
            "Who was cut off once a day would otherwise wait the longest time each time.",
            reconnect_anew,
        ),
        Check(
            "reconnect.refused",
            0.5,
            "After close code 1008 it raises PermissionError, and does not come back.",
            "A wrong token does not become right by asking again, and each try costs the server.",
            reconnect_refused,
        ),
    ),
    needs=("stay_connected",),
    opens=Stage.open,
    untouched=reconnect_untouched,
    deadline=60.0,
)


# resume


async def resume_untouched(stage: Stage) -> None:
    """When something was missed, it gives NotImplementedError."""
    seen = await stage.evidence(calls.resumptions)
    await _need_written(stage, *(one.call for one in [*seen.whole, seen.forgotten, seen.anew]))


def _resumed(one: calls.Resumed) -> str:
    return f"{one.call.called}, and sent it updates. Then the server {one.told}"


def _need_complete(one: calls.Resumed) -> None:
    if not one.complete:
        why = _flaw(one.call) or one.call.end or "it did not ask for all of its symbols again"
        raise CannotJudge(f"this needs a client that comes back (exercise reconnect). {_resumed(one)}; {why}.")


def _brief(updates: list[Object]) -> str:
    """A row of updates and gaps in words: their numbers."""
    words = []
    for value in updates:
        if value.get("type") == "update":
            words.append(str(value.get("seq")))
        else:
            words.append(as_json(value))
    return ", ".join(words[:14]) + (", …" if len(words) > 14 else "")


def _covers(got: list[Object], expected: list[Object]) -> bool:
    """Whether each thing that a caller got has all that was expected of it, and maybe more."""
    return len(got) == len(expected) and all(
        due.items() <= one.items() for one, due in zip(got, expected, strict=True)
    )


def _got_all(one: calls.Resumed, why: str) -> None:
    _need_complete(one)
    for symbol, expected in one.expected.items():
        got = one.call.of(symbol)
        if not _covers(got, expected):
            end = f", and {one.call.end}" if one.call.end else ""
            raise Failed(
                f"{_resumed(one)}; of {symbol} the caller got {_brief(got) or 'nothing'}{end}; expected "
                f"{_brief(expected)}: {why}."
            )


async def resume_once(stage: Stage) -> None:
    """Nothing is lost, doubled or out of order."""
    for one in (await stage.evidence(calls.resumptions)).whole:
        _got_all(one, "each update once and in order, as the server still had all of them")


async def resume_gap(stage: Stage) -> None:
    """What is lost for good is said."""
    one = (await stage.evidence(calls.resumptions)).forgotten
    _got_all(one, "what the server no longer has is told to the caller, once, and nothing else is left out")


async def resume_anew(stage: Stage) -> None:
    """A server that counts anew has a gap as well."""
    one = (await stage.evidence(calls.resumptions)).anew
    _got_all(one, "the numbers say that it does not go on where it was, and its updates are new ones")


RESUME = Exercise(
    name="resume",
    title="Every update once",
    hints=(
        "Remember for each symbol the last `seq` that you have, and say so when you subscribe again. The answer "
        "to the subscription tells you whether the server goes on there.",
        "Two kinds of messages bring you to a number: an update, and the answer to a subscription. Note both in "
        "`seen`, or a client that is cut off before its first update does not know what it missed. If there was a "
        "number before, and the answer has another one, higher or lower, there is a gap.",
        'In `ask`: `request = {"type": "subscribe", "symbol": symbol}`, then `if symbol in seen: '
        'request["after"] = seen[symbol]`, then `return request`. In `take`: `if "seq" not in message: '
        'return []`. Then `symbol, seq = message["symbol"], message["seq"]` and `before, seen[symbol] = '
        "seen.get(symbol, seq), seq`. Of an update `return [message]`; of the rest `[]` if `before == seq`, "
        'else `[{"type": "gap", "symbol": symbol, "after": before, "seq": seq}]`.',
    ),
    checks=(
        Check(
            "resume.once",
            1.0,
            "Cut off by resets, a freeze and a 1012 while updates go on, the caller sees every update once, in "
            "order.",
            "Whoever adds up what it is told is wrong for ever after one update that was lost or doubled.",
            resume_once,
        ),
        Check(
            "resume.gap",
            0.5,
            f"If the server no longer has what came meanwhile, the caller gets {as_json(gap('…', 1, 2))} in its "
            "place, with the last seq it had and the one before the next.",
            "Nobody can keep everything. A loss that is known can be made good: by fetching anew, say.",
            resume_gap,
        ),
        Check(
            "resume.anew",
            0.5,
            "If the server counts anew from a lower number, the caller is told of a gap, and gets its updates.",
            "A client that only drops what is not higher would be deaf until the new numbers pass the old ones.",
            resume_anew,
        ),
    ),
    needs=("stay_connected",),
    opens=Stage.open,
    untouched=resume_untouched,
    deadline=60.0,
)


LAB = Lab(
    name="06_reliable_feed",
    title="A feed to rely on",
    deliverables={"rooms": "websocket", "stay_connected": "function"},
    exercises={exercise.name: exercise for exercise in (TOPICS, SLOW, HEARTBEAT_EXERCISE, RECONNECT, RESUME)},
)
