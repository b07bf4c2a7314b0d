"""Lab 02: a price stream over WebSocket.

Its deliverables are ``price_stream``, a handler for ``websockets.asyncio.server.serve``, and
``follow(uri, token, symbol)``, an async generator of what such a stream sends.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import pairwise

from websockets.frames import CloseCode

from wirelab.checks import CannotJudge, Check, Exercise, Failed, Lab, NotAttempted
from wirelab.checks import price_trials as trials
from wirelab.checks.exchange import as_json, shown
from wirelab.checks.price_clients import (
    INTERVAL,
    PriceStream,
    as_object,
    new_symbol,
    price_flaw,
    subscription,
    update_flaw,
)
from wirelab.checks.price_server import Performance, Stage, break_off, close, refuse
from wirelab.checks.price_trials import need_prices, told
from wirelab.checks.websocket_clients import named

# subscribe


async def subscribe_untouched(prices: PriceStream) -> None:
    """Whoever subscribes meets a stub."""
    for client in (await prices.evidence(trials.subscribers)).values():
        if client.unwritten and not client.messages:
            raise client.not_written("who subscribes")


async def subscribe_update(prices: PriceStream) -> None:
    """The shape of each message."""
    for symbol, client in (await prices.evidence(trials.subscribers)).items():
        if not client.messages:
            client.fail(f'updates such as {{"symbol": {as_json(symbol)}, "price": 99.5}}, the first at once')
        for message in client.messages:
            if flaw := update_flaw(message.raw, symbol):
                raise Failed(
                    f"Sent {client.said}; got {shown(message.raw)}; expected a JSON object with exactly the "
                    f"symbol that was asked for and a price; {flaw}."
                )


async def subscribe_price(prices: PriceStream) -> None:
    """The price in each message."""
    clients = (await prices.evidence(trials.subscribers)).values()
    if not any("price" in as_object(message.raw) for client in clients for message in client.messages):
        need_prices(*clients)
        raise CannotJudge("no message has a price in it.")
    for client in clients:
        for message in client.messages:
            if flaw := price_flaw(message.raw):
                raise Failed(
                    f"Sent {client.said}; got {shown(message.raw)}; expected a price that is a JSON number from "
                    f"95 to 105 with at most two decimals; {flaw}."
                )


async def subscribe_pace(prices: PriceStream) -> None:
    """A new price each interval."""
    for client in (await prices.evidence(trials.subscribers)).values():
        need_prices(client, at_least=1)
        if fault := trials.too_quick(client) or await trials.too_slow(client):
            raise Failed(f"Sent {client.said}; got {fault}")
        drawn = [message.price for message in client.messages]
        same = sum(one == other for one, other in pairwise(drawn))
        if 2 * same >= len(drawn) - 1:
            raise Failed(
                f"Sent {client.said}; got {told(drawn)}; expected each price to be drawn anew, but {same} of "
                f"{len(drawn)} are the same as the one before."
            )


SUBSCRIBE = Exercise(
    name="subscribe",
    title="Send prices to a subscriber",
    hints=(
        "What goes over the wire is text. Make a dictionary with the two members, and let `json.dumps` write it.",
        "`random.uniform(95, 105)` draws a number with many decimals, and `round(number, 2)` leaves two of them. "
        "Do both inside the function, so that each call draws anew.",
        'One line: `return json.dumps({"symbol": symbol, "price": round(random.uniform(95, 105), 2)})`.',
    ),
    checks=(
        Check(
            "subscribe.update",
            0.5,
            "After a subscription come JSON objects with exactly two members: the symbol as it was asked for, and "
            "a price.",
            "A client that follows several symbols tells them apart by what is in the message, letter by letter.",
            subscribe_update,
        ),
        Check(
            "subscribe.price",
            0.5,
            "The price is a JSON number from 95 to 105 with at most two decimals.",
            'Who gets "99.50" in quotation marks cannot add it up: types are part of what you promise.',
            subscribe_price,
        ),
        Check(
            "subscribe.pace",
            1.0,
            f"A new price is drawn and sent each {INTERVAL:g} seconds, unasked, for as long as the client stays.",
            "This is what a WebSocket is for: the client asks once, and the server goes on speaking.",
            subscribe_pace,
        ),
    ),
    needs=("price_stream",),
    opens=PriceStream.open,
    untouched=subscribe_untouched,
)


# refuse


async def refuse_untouched(prices: PriceStream) -> None:
    """Whoever has a wrong token meets a stub."""
    # Alone: what the server's code raised is this client's doing.
    refused = await trials.refusal(prices.stream, *trials.bad_subscriptions()[0])
    if refused.client.unwritten:
        raise refused.client.not_written("a client with a wrong token")


async def refuse_subscription(prices: PriceStream) -> None:
    """Wrong and missing tokens and symbols."""
    await _each_gets_one_error(prices, (await prices.evidence(trials.refusals)).subscriptions)


async def refuse_garbage(prices: PriceStream) -> None:
    """What is no JSON object."""
    await _each_gets_one_error(prices, (await prices.evidence(trials.refusals)).garbage)


async def _each_gets_one_error(prices: PriceStream, refused: Iterable[trials.Refused]) -> None:
    for one in refused:
        if not trials.has_one_error(one.client):
            # Once more, alone and on a fresh server: what that raises is this message's doing.
            async with prices.serve() as stream:
                again = await trials.refusal(stream, one.fault, one.message)
            if not trials.has_one_error(again.client):
                again.client.fail(f'exactly one {{"error": "…"}} and the end, because {one.fault}')


async def refuse_silent(prices: PriceStream) -> None:
    """The deadline for the first message."""
    if flaw := (await prices.evidence(trials.refusals)).silence_flaw():
        span = f"{trials.SILENT_FROM:g} to {trials.SILENT_TO:g} s"
        raise Failed(
            f'Sent nothing; got {flaw}; expected exactly one {{"error": "…"}} and the end after a second of '
            "silence "
            f"({span}): who only connects would otherwise hold a place for ever."
        )


async def refuse_code(prices: PriceStream) -> None:
    """The close code behind each error."""
    seen = await prices.evidence(trials.refusals)
    everybody = [*seen.subscriptions, *seen.garbage, *seen.silent]
    refused = [one.client for one in everybody if trials.has_one_error(one.client)]
    if not refused:
        raise CannotJudge("nobody got an error and no more, so there is no close code to look at.")
    for client in refused:
        if client.ending is None:
            client.fail(f"the server to close the connection after the error, with {named(1008)}")
        if client.ending.code != CloseCode.POLICY_VIOLATION:
            client.fail(
                f"{named(1008)} after the error: by the code a program tells a refusal from a good end (1000) and "
                "from a crash (1011)"
            )


REFUSE = Exercise(
    name="refuse",
    title="Refuse who may not listen",
    hints=(
        "Four things can be wrong: nothing comes, it is no JSON, it is no object, or token and symbol are not as "
        "they should be. Find a reason for each first; say it, and close, in one place at the end.",
        "`async with asyncio.timeout(1):` around the `recv()` raises `TimeoutError` when nothing comes. "
        "`json.loads` raises `ValueError` for what is no JSON, bytes that are no text included. "
        "`isinstance(value, str)` tells a text from all else, and `websocket.close(1008)` sets the code.",
        "In a `try`: under the timeout `message = json.loads(await websocket.recv())`, then "
        '`if message["token"] == TOKEN and isinstance(message["symbol"], str) and message["symbol"]:` return the '
        "symbol. `except (TimeoutError, ValueError, KeyError, TypeError): pass`. Behind it send "
        '`json.dumps({"error": "…"})`, `await websocket.close(1008)`, and return `None`.',
    ),
    checks=(
        Check(
            "refuse.subscription",
            0.5,
            "A token that is wrong, missing or no text, and a symbol that is missing, empty or no text, get "
            'exactly one {"error": "…"}.',
            "Whatever is not checked at the door is inside: a number where a text should be crashes code far "
            "away.",
            refuse_subscription,
        ),
        Check(
            "refuse.garbage",
            0.5,
            'A first message that is no JSON object gets exactly one {"error": "…"}, be it text or bytes.',
            "What comes over the network may be anything. An exception would look like your fault, and hide real "
            "ones in the log.",
            refuse_garbage,
        ),
        Check(
            "refuse.silent",
            0.5,
            'A client that says nothing gets exactly one {"error": "…"} after a second.',
            "An open connection costs memory. Without a deadline, who knows no token can have thousands.",
            refuse_silent,
        ),
        Check(
            "refuse.code",
            0.5,
            "After the error the server closes the connection with code 1008 (policy violation).",
            'After 1000, "all is well", a client\'s async for ends as if the stream were over, and nobody '
            "notices.",
            refuse_code,
        ),
    ),
    needs=("price_stream",),
    opens=PriceStream.open,
    untouched=refuse_untouched,
)


# share


async def share_untouched(prices: PriceStream) -> None:
    """A second client of a symbol meets a stub."""
    unwritten = [client for client in (await prices.evidence(trials.shared)).clients if client.unwritten]
    if unwritten:
        raise unwritten[-1].not_written("a second client of the same symbol")


async def share_same(prices: PriceStream) -> None:
    """One symbol, several clients."""
    seen = await prices.evidence(trials.shared)
    need_prices(seen.together[0], seen.other)
    if fault := seen.fault():
        raise Failed(fault)


async def share_symbols(prices: PriceStream) -> None:
    """Two symbols."""
    seen = await prices.evidence(trials.shared)
    one, other = seen.together[0], seen.other
    need_prices(one, other)
    pairs = trials.Pairs(one, other)
    if pairs.at_once > trials.TOO_ALIKE * pairs.count:
        raise Failed(
            f"Sent {one.said} and {other.said}; got {told(pairs.of_one)} for both; expected each symbol to have "
            "prices of its own."
        )


async def share_run(prices: PriceStream) -> str | None:
    """Two runs, one after the other."""
    need_prices((await prices.evidence(trials.shared)).other)
    symbol = new_symbol()
    runs = [await trials.run(prices, symbol, others=0), await trials.run(prices, symbol, others=2)]
    if not trials.have_a_row_in_common(*runs):
        return "(Whether a cell fixes a seed shows only in `wirelab grade`.)" if prices.only_copies else None
    fault = (
        f"Sent {subscription(symbol)} to two runs of your server, one after the other; both got {told(runs[0])}; "
        "expected other prices in a new run, or everybody knows tomorrow's: is a seed fixed?"
    )
    if prices.only_copies:
        raise CannotJudge(
            f"{fault} (Both runs were copies of this notebook. If what they have in common was drawn at random in "
            "a cell, all is well: `wirelab grade` can tell.)"
        )
    raise Failed(fault)


SHARE = Exercise(
    name="share",
    title="One price for all",
    hints=(
        "Who draws a price? If each connection does, each has its own. Let one task for each symbol draw, and "
        "hand every price to all who listen.",
        "`websockets` has `broadcast(connections, message)`: it sends one message to all of them, waits for "
        "nobody, and skips who is gone. A handler only adds its connection to the set, waits until the client "
        "has left, and takes it out again in a `finally`.",
        "The sender: `while listeners[symbol]:`, in it `broadcast(listeners[symbol], price_message(symbol))` and "
        "`await asyncio.sleep(INTERVAL)`. The handler: `listeners[symbol].add(websocket)`, "
        "`start_sender(symbol)`, then `try: await until_gone(websocket)`, and `finally: "
        "listeners[symbol].discard(websocket)`.",
    ),
    checks=(
        Check(
            "share.same",
            1.0,
            "All clients of a symbol get the same prices at the same time, whether they came together or later.",
            "Two people who look at one thing have to see one thing. It also costs less: one draw, however many "
            "look.",
            share_same,
        ),
        Check(
            "share.symbols",
            0.5,
            "Another symbol has prices of its own.",
            "What is shared has to be shared by the right ones.",
            share_symbols,
        ),
        Check(
            "share.run",
            0.5,
            "A new run of the server draws other prices.",
            "A fixed seed makes a test repeatable, and a service predictable.",
            share_run,
        ),
    ),
    needs=("price_stream",),
    opens=PriceStream.open,
    untouched=share_untouched,
    # Two rounds of waiting, on a machine that is busy with others.
    deadline=60.0,
)


# survive

# survive


async def survive_untouched(prices: PriceStream) -> None:
    """A second client of a symbol meets a stub, or whoever says a word after the subscription."""
    vanish, talk = await prices.evidence(trials.treated)
    if vanish.before.unwritten:
        raise vanish.before.not_written("a second client of the same symbol")
    if talk.talker.unwritten:
        raise talk.talker.not_written("a client that says something after its subscription")


async def survive_vanish(prices: PriceStream) -> None:
    """Clients that are gone without a word."""
    vanish, _ = await prices.evidence(trials.treated)
    need_prices(vanish.before, at_least=trials.CALM)
    if vanish.fault:
        raise Failed(
            f"Sent {vanish.before.said} from {trials.CROWD} clients, which vanished without a close frame; "
            f"{vanish.fault}; expected the streams of all others to go on, whole and on time: does one failed "
            "send, or the end of one handler, disturb what serves them all?"
        )


async def survive_talk(prices: PriceStream) -> None:
    """A client that does not keep quiet."""
    _, talk = await prices.evidence(trials.treated)
    need_prices(talk.talker, at_least=trials.CALM)
    if talk.fault:
        why = (
            "what a handler does not read piles up, the answers to the server's own pings wait behind it, and the "
            "server takes the client for dead"
            if talk.unread
            else "a client may say what it likes"
        )
        last = " and ".join(map(as_json, talk.texts[-2:]))
        raise Failed(
            f"Sent {talk.talker.said} and then {len(talk.texts)} more texts, at last {last}; got {talk.fault}; "
            f"expected a price each {INTERVAL:g} s as before: {why}."
        )


SURVIVE = Exercise(
    name="survive",
    title="Hunt the bug: clients that vanish, clients that talk",
    hints=(
        "`wait_closed()` waits for the end, but it reads nothing. What a client says has to be taken, even if "
        "nobody wants it.",
        "`async for message in websocket:` takes one message after the other, and ends when the client has "
        "closed. When it vanished, it raises `ConnectionClosedError`: what has to happen then as well belongs in "
        "a `finally`, and that is in your `join` already.",
        "`async for _ in websocket:` with nothing but `pass` in it. If clients that vanish are the trouble, look "
        "at your sender: `await websocket.send(...)` raises for who is gone, and ends its loop; `broadcast` "
        "skips them.",
    ),
    checks=(
        Check(
            "survive.vanish",
            1.0,
            "Fifty clients vanish without a close frame; all others of the symbol get their prices, whole and on "
            "time, whether they came before, among or after them.",
            "Laptops are shut and trains enter tunnels. What one client does must not reach another.",
            survive_vanish,
        ),
        Check(
            "survive.talk",
            1.0,
            "A client goes on sending texts after its subscription; it is neither closed, nor slowed, nor "
            "hurried.",
            "A server that does not read takes healthy clients for dead ones, and they cannot tell why.",
            survive_talk,
        ),
    ),
    needs=("price_stream",),
    opens=PriceStream.open,
    untouched=survive_untouched,
    # Two rounds of waiting, on a machine that is busy with others.
    deadline=60.0,
)


# follow


async def updates_seen(stage: Stage) -> Performance:
    """Updates one by one, then several at once, equal neighbours among them."""
    a, b, c, d = (cents / 100 for cents in secrets.SystemRandom().sample(range(9500, 10501), 4))
    return await stage.perform(close(1000), prices=(a, b, b, c), burst=(d, d, a))


async def errors_seen(stage: Stage) -> dict[str, Performance]:
    """Errors at different times, by their texts."""
    texts = [f"No prices for you today ({secrets.token_hex(4)})" for _ in range(3)]
    return {
        texts[0]: await stage.perform(refuse(texts[0], 1008)),
        texts[1]: await stage.perform(refuse(texts[1], None)),
        texts[2]: await stage.perform(refuse(texts[2], 1000), some_prices(2)),
    }


async def ends_seen(stage: Stage) -> dict[str, Performance]:
    """Good ends at different times."""
    return {
        "at once": await stage.perform(close(1000)),
        "after one": await stage.perform(close(1001), some_prices(1)),
        "after two": await stage.perform(close(1000), some_prices(2)),
    }


async def breaks_seen(stage: Stage) -> dict[str, Performance]:
    """Bad ends at different times."""
    return {
        "at once": await stage.perform(break_off()),
        "closed at once": await stage.perform(close(secrets.choice((1012, 1013, 4000)))),
        "closed after one": await stage.perform(close(1011), some_prices(1)),
        "after two": await stage.perform(break_off(), some_prices(2)),
    }


def some_prices(count: int) -> list[float]:
    """Prices that nobody can have guessed."""
    return [(9500 + secrets.randbelow(1001)) / 100 for _ in range(count)]


def called(performance: Performance) -> str:
    """How the client was called, in words."""
    return f'Called follow(uri, "{performance.token}", "{performance.symbol}")'


async def follow_untouched(stage: Stage) -> None:
    """Calling it gives NotImplementedError."""
    seen = await stage.evidence(updates_seen)
    if not seen.received and seen.last.kind == "raised" and await stage.unwritten():
        raise NotAttempted("follow() still raises NotImplementedError.")


async def follow_updates(stage: Stage) -> None:
    """One subscription, and each update as it arrives."""
    seen = await stage.evidence(updates_seen)
    _one_subscription(seen)
    for number, (sent, got) in enumerate(zip(seen.sent, seen.yielded, strict=False), 1):
        if got != sent:
            raise Failed(
                f"{called(seen)} and sent it {_updates(seen.sent[:number])}; got "
                f"{_updates(seen.yielded[:number])}; expected each update as the dict that was sent, equal "
                f"neighbours too, and number {number} differs."
            )
    if len(seen.yielded) != len(seen.sent) or not seen.act:
        burst = " (the last three right after one another)" if seen.act else ""
        got = f"got {_updates(seen.yielded)}, and then " if seen.yielded else ""
        raise Failed(
            f"{called(seen)} and sent it {_updates(seen.sent)}{burst}; {got}{seen.last.told}; expected each "
            "update as it arrives, and more for as long as the server sends."
        )


def _one_subscription(seen: Performance) -> None:
    expected = as_json({"token": seen.token, "symbol": seen.symbol})
    if not seen.received:
        came = "a connection, but no message on it" if seen.visits else "no connection"
        kind = ": an async def with a yield in it" if "not an async generator" in seen.last.told else ""
        raise Failed(
            f"{called(seen)} and sent nothing yet; got {came}, and {seen.last.told}; expected it to connect and "
            f"send {expected}{kind}."
        )
    first = as_object(seen.received[0])
    if first.get("token") != seen.token or first.get("symbol") != seen.symbol:
        raise Failed(f"{called(seen)}; it sent {shown(seen.received[0])}; expected {expected}.")
    if len(seen.received) > 1:
        raise Failed(
            f"{called(seen)}; it sent {len(seen.received)} messages in all, the second of them "
            f"{shown(seen.received[1])}; expected {expected} and no more: the stream goes on by itself."
        )


def _updates(updates: Sequence[object]) -> str:
    return shown(", ".join(map(as_json, updates)))


async def follow_error(stage: Stage) -> None:
    """An error from the server."""
    seen = await played(stage, errors_seen)
    for text, one in seen.items():
        raised = one.last.error.text if one.last.error and one.last.is_error("PermissionError") else ""
        if text not in raised or one.beyond:
            raise Failed(f"{_told(one)}; expected PermissionError with the server's text, at once.")


async def follow_end(stage: Stage) -> None:
    """A good end."""
    for one in (await played(stage, ends_seen)).values():
        if one.last.kind != "ended":
            raise Failed(f"{_told(one)}; expected a quiet end, since 1000 and 1001 say that all went well.")
        if one.again is None or one.again.kind != "ended":
            again = one.again.told if one.again else "nothing"
            raise Failed(f"{_told(one)}, but asked once more {again}; expected it to stay ended.")


async def follow_broken(stage: Stage) -> None:
    """A bad end."""
    for one in (await played(stage, breaks_seen)).values():
        if not one.last.is_error("ConnectionClosedError"):
            raise Failed(
                f"{_told(one)}; expected ConnectionClosedError, or the caller takes a broken stream for one "
                "that is over."
            )


async def played(
    stage: Stage, experiment: Callable[[Stage], Awaitable[dict[str, Performance]]]
) -> dict[str, Performance]:
    """Those performances of an experiment in which the client was still there for the server's last act.

    Raises:
        CannotJudge: there is none.
    """
    first = await stage.evidence(updates_seen)
    # A client that never subscribes need not be waited for again and again.
    seen = await stage.evidence(experiment) if first.received else {"": first}
    complete = {name: one for name, one in seen.items() if one.received and one.act}
    if not complete:
        one = next(iter(seen.values()))
        raise CannotJudge(f"this needs a client that waits for the server. {called(one)}, and {one.last.told}.")
    return complete


def _told(one: Performance) -> str:
    """What was sent to the client at last, and what it did then."""
    sent = f"{_updates(one.sent)}, and then " if one.sent else ""
    beyond = f"it yielded {_updates(one.beyond)}, and then " if one.beyond else ""
    return f"{called(one)} and sent it {sent}{one.act}; {beyond}{one.last.told}"


FOLLOW = Exercise(
    name="follow",
    title="Write the client",
    hints=(
        "It is a function with a `yield`: inside `async with connect(uri, proxy=None) as websocket:` send one "
        "subscription, then take what comes.",
        "`async for message in websocket:` ends by itself after the codes 1000 and 1001 (and after a close frame "
        "without a code), and raises `ConnectionClosedError` after any other end. So let it: no `try` is needed. "
        "Each message is text; `json.loads` makes the dict.",
        'In the loop: `update = json.loads(message)`, then `if "error" in update:` `raise '
        'PermissionError(update["error"])`, then `yield update`.',
    ),
    checks=(
        Check(
            "follow.updates",
            0.5,
            "follow sends one subscription and yields each update as the dict that was sent, as it arrives, equal "
            "neighbours too.",
            "Whoever uses it wants to see every price at once, and no price of its own invention.",
            follow_updates,
        ),
        Check(
            "follow.error",
            0.5,
            "An error message that the server sends, at any time, raises PermissionError with the server's text.",
            "A refusal that only stops the loop looks like a stream that is over: nobody learns of the wrong "
            "token.",
            follow_error,
        ),
        Check(
            "follow.end",
            0.5,
            "When the server sends close code 1000 or 1001, follow ends quietly, once and for all.",
            "Who comes back to a server that has said goodbye will be there again and again.",
            follow_end,
        ),
        Check(
            "follow.broken",
            0.5,
            "When the connection ends in any other way, follow raises ConnectionClosedError.",
            "Only the caller knows whether to try again, and it can only know if it is told.",
            follow_broken,
        ),
    ),
    needs=("follow",),
    opens=Stage.open,
    untouched=follow_untouched,
)


LAB = Lab(
    name="02_price_stream",
    title="A price stream over WebSocket",
    deliverables={"price_stream": "websocket", "follow": "function"},
    exercises={exercise.name: exercise for exercise in (SUBSCRIBE, REFUSE, SHARE, SURVIVE, FOLLOW)},
)
