"""Lab 08: a live board.

Its deliverables are ``app``, a board of todos that is changed over REST and followed over a WebSocket, and
``mirror(base_url)``, an async context manager whose value is a dict that follows such a board: the todos by id.

The protocol, as the lab's notebook gives it to learners:

* ``GET /board`` answers with a snapshot ``{"epoch", "seq", "todos": [{"id", "task", "status"}]}``;
* changes are made with ``POST /todos``, ``PUT /todos/{id}`` and ``DELETE /todos/{id}``, as in lab 01;
* the WebSocket ``/updates`` sends JSON texts: first a position ``{"epoch", "seq"}``, then a change
  ``{"epoch", "seq", "id", "todo"}`` for each committed one, with null for a todo that is gone. A position may come
  again at any time; members beyond these may be in every message and snapshot;
* ``seq`` counts changes up by one, within an ``epoch``, a text that every run of the server draws anew.
"""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise

from websockets.frames import CloseCode

from wirelab.checks import CannotJudge, Check, Exercise, Failed, Lab, board_page
from wirelab.checks import board_service as service
from wirelab.checks.board_messages import Update, difference, replay
from wirelab.checks.board_page import Life, Page
from wirelab.checks.board_service import Board, Socket, fail_on
from wirelab.checks.board_stage import PAUSE, QUIET, Mirrored, Stage, never_back, untouched
from wirelab.checks.exchange import as_json, shown
from wirelab.checks.exchange import named as status_named
from wirelab.checks.todo_service import Todo, flaw
from wirelab.checks.websocket_clients import named

# publish


async def publish_untouched(board: Board) -> None:
    """Neither the snapshot nor the socket is written."""
    await board.snapshot()


async def listening(board: Board) -> Socket:
    """A socket that was opened while nothing happened.

    Raises:
        NotAttempted: nobody wrote the code for it yet.
    """
    _, _, socket = await board.evidence(service.arrival)
    if socket.client.unwritten and not socket.client.messages:
        raise service.unwritten(socket)
    return socket


async def publish_position(board: Board) -> str:
    """The first message."""
    socket = await listening(board)
    answer, snapshot, _ = await board.evidence(service.arrival)
    position = {"epoch": snapshot.epoch, "seq": snapshot.seq}
    expected = f"expected a position first, {as_json(position)}, as in the snapshot"
    if not socket.updates:
        fail_on([socket], "the opening handshake of a WebSocket to /updates", socket.client.got, expected)
    first = socket.updates[0]
    if first.is_change or (first.epoch, first.seq) != (snapshot.epoch, snapshot.seq):
        got = shown(socket.client.messages[0].raw)
        fail_on([], "the opening handshake of a WebSocket to /updates", f"{got} first", expected)
    differs, note = await board.evidence(service.epochs)
    if not differs:
        raise Failed(
            f"Sent {answer.sent} to two runs of your server; got the epoch {as_json(snapshot.epoch)} from both; "
            "expected a new run to draw another one, or its numbers would be taken for those of the old run."
        )
    return note


async def publish_changes(board: Board) -> None:
    """Changes one after the other."""
    await listening(board)
    seen = await board.evidence(service.history)
    told = ", ".join(request for request, _, _ in seen.made)
    for socket in seen.sockets:
        expected = seen.made if socket is not seen.sockets[2] else seen.made[2:]
        changes = socket.changes
        for (request, id, todo), change in zip(expected, changes, strict=False):
            if change.id != id or not _tells(change, todo):
                told_as = f"id {id} and the todo {as_json(todo)}"
                got = f"the change {as_json({'id': change.id, 'todo': change.todo})}"
                fail_on([socket], f"{request}", f"{got} over /updates", f"expected a change with {told_as}")
        if len(changes) != len(expected):
            who = "a socket that was opened after the first two" if socket is seen.sockets[2] else "each socket"
            fail_on(
                [socket],
                told,
                f"{socket.got} over /updates",
                f"expected {who} to get exactly one change for each request, {len(expected)} in all",
            )
        _no_holes([socket.joined_at, *(change.seq for change in changes)], told)


def _tells(change: Update, todo: Todo | None) -> bool:
    """Whether a change has this todo; it may have more members."""
    return change.todo is None if todo is None else not flaw(change.todo, **todo)


def _no_holes(numbers: list[int], sent: str) -> None:
    for before, after in pairwise(numbers):
        if after != before + 1:
            raise Failed(
                f"Sent {sent}; got the seq {after} after {before} over /updates; expected each change to have the "
                f"number that follows the one before it, here {before + 1}."
            )


async def publish_refused(board: Board) -> None:
    """What is no change."""
    await listening(board)
    seen = await board.evidence(service.refusals)
    if seen.told:
        update = seen.told[0]
        change = {"seq": update.seq, "id": update.id, "todo": update.todo}
        requests = ", ".join(answer.sent for answer in seen.answers)
        raise Failed(
            f"Sent {requests}; got the change {as_json(change)} over /updates; expected no change to be told, "
            "because none was made."
        )


async def publish_at_once(board: Board) -> None:
    """Changes in a crowd."""
    await listening(board)
    seen = await board.evidence(service.crowd)
    sent = f"{service.CREATIONS} times POST and {service.REPLACEMENTS} times PUT at once"
    for socket in seen.sockets:
        changes = socket.changes
        _no_holes([seen.start.seq, *(change.seq for change in changes)], sent)
        if len(changes) != seen.accepted:
            got = f"{len(changes)} changes over /updates"
            fail_on([socket], sent, got, f"expected one for each of the {seen.accepted} that were accepted")
    one, other = (socket.changes for socket in seen.sockets)
    if one != other:
        place, pair = next((n, pair) for n, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
        raise Failed(
            f"Sent {sent}; got todo {pair[0].id} as change {place + 1} over one socket and todo {pair[1].id} over "
            "another; expected every socket to be told the same."
        )
    if fault := difference(replay(seen.start.todos, one), seen.end.todos):
        raise Failed(
            f"Sent {sent}; got changes over /updates after the last of which {fault}; expected them in the order "
            "in which they were made: is a number taken, then something awaited, then the change made?"
        )


async def publish_snapshot(board: Board) -> None:
    """Snapshots in a crowd."""
    await listening(board)
    seen = await board.evidence(service.crowd)
    changes = max((socket.changes for socket in seen.sockets), key=len)
    if len(changes) < seen.accepted:
        raise CannotJudge("this needs every change to be told (publish.at_once).")
    for look in [*seen.looks, seen.end]:
        known = [change for change in changes if change.seq <= look.seq]
        if fault := difference(look.todos, replay(seen.start.todos, known)):
            raise Failed(
                f"Sent GET /board while other requests changed the board; got seq {look.seq} with todos of which "
                f"{fault} after change {look.seq}; expected the todos as they are after exactly that change."
            )


async def publish_committed(board: Board) -> None:
    """Messages and what is behind them."""
    await listening(board)
    for moment in await board.evidence(service.moments):
        update, snapshot = moment.update, moment.snapshot
        if snapshot.seq < update.seq or (snapshot.seq == update.seq and _not_yet(update, snapshot.todos)):
            raise Failed(
                f"Sent GET /board in the instant in which change {update.seq} of todo {update.id} had come over "
                f"/updates; got a snapshot with seq {snapshot.seq} without that change; expected it to be there: "
                "a change is told when it is made, not before."
            )


def _not_yet(update: Update, todos: object) -> bool:
    return isinstance(todos, dict) and todos.get(update.id) != update.todo


async def publish_gone(board: Board) -> None:
    """Clients that vanish."""
    await listening(board)
    seen = await board.evidence(service.departures)
    for answer in seen.answers:
        if not answer.ok:
            answer.fail("any 2xx, although two clients of /updates had vanished before")
    if len(seen.stayed.changes) != service.AFTERWARDS:
        fail_on(
            [seen.stayed],
            f"{service.AFTERWARDS} times POST /todos after two other clients of /updates had vanished",
            f"{seen.stayed.got} over the socket that stayed",
            f"expected all {service.AFTERWARDS} changes",
        )


PUBLISH = Exercise(
    name="publish",
    title="Tell every change",
    hints=(
        "A snapshot names the last change that is in it. So a change and its number must become true in the same "
        "instant: with no `await` between them.",
        "In `commit`: first `await save(todo_id, todo)`, then count `board.seq` up by one, then `tell` the "
        "change. The handlers hold the lock already, and `tell` waits for nobody. In `join`, the position "
        "goes into the new queue before anything else.",
        'The snapshot: `return {"epoch": board.epoch, "seq": board.seq, "todos": list(todos.values())}`. In '
        '`join`: `queue.put_nowait({"epoch": board.epoch, "seq": board.seq})`, then `queues.add(queue)`. In '
        '`commit`: `await save(todo_id, todo)`, `board.seq += 1`, then `tell({"epoch": board.epoch, "seq": '
        'board.seq, "id": todo_id, "todo": todo})`.',
    ),
    checks=(
        Check(
            "publish.position",
            0.5,
            "The first message of a socket is the position: the epoch and the seq that a snapshot has at that "
            "moment.",
            "A client has to know from which change on it hears them all, and whose numbers these are.",
            publish_position,
        ),
        Check(
            "publish.changes",
            0.5,
            "After each creation, replacement and deletion every socket gets exactly one change, with the next "
            "seq, the id, and the todo as it is now or null.",
            "Numbers without holes let a client notice that it missed something.",
            publish_changes,
        ),
        Check(
            "publish.refused",
            0.5,
            "A request that is refused, and one that only looks, pushes no change.",
            "A number that stands for nothing sends every client to fetch the board anew.",
            publish_refused,
        ),
        Check(
            "publish.at_once",
            0.5,
            f"{service.CREATIONS} creations at once, then {service.REPLACEMENTS} replacements of one todo, are "
            "told to every socket in the order in which they were made.",
            "Who is told of two changes in the wrong order ends with the older one.",
            publish_at_once,
        ),
        Check(
            "publish.snapshot",
            0.5,
            "A snapshot that is taken while others change the board holds exactly the changes up to its seq.",
            "A client drops what the snapshot holds already: if the number is off by one, it drops one too many, "
            "or misses one.",
            publish_snapshot,
        ),
        Check(
            "publish.committed",
            0.5,
            "When a change has been told, the next snapshot holds it.",
            "A change that is told first may still fail, and then everybody shows what never was.",
            publish_committed,
        ),
        Check(
            "publish.gone",
            0.5,
            "When clients vanish without a word, all others get each change, and no request fails.",
            "Laptops are shut. What one client does must not reach another.",
            publish_gone,
        ),
    ),
    needs=("app",),
    opens=Board.open,
    untouched=publish_untouched,
    deadline=60.0,
)

# mirror

# Changes of a random history, and changes in the time that a snapshot is on its way.
LONG, SHORT = 40, 5
# Seconds one way: as far as another city, and within the house.
FAR, NEAR = 0.015, 0.002


async def mirror_snapshot(stage: Stage) -> None:
    """The board as it is found."""
    async with stage.mirrored() as mirrored:
        await mirrored.equals(f"a snapshot of {len(stage.todos)} todos to whoever asks for /board")
        if not stage.opened:
            await mirrored.connected()
        if not stage.opened:
            await mirrored.fail(
                "a snapshot to whoever asks for /board", "no connection to /updates", "one, to hear of changes"
            )


async def mirror_changes(stage: Stage) -> None:
    """A history across a slow link."""
    async with stage.mirrored() as mirrored:
        await mirrored.equals("a snapshot to whoever asks for /board")
        await mirrored.connected()
        first = stage.seq + 1
        await stage.history(LONG)
        await mirrored.equals(f"the changes {first} to {stage.seq} over /updates, across a slow link")


async def mirror_race(stage: Stage) -> None:
    """Changes while the first snapshots are on their way."""
    async with stage.mirrored() as mirrored:
        first = stage.seq + 1

        async def go_on() -> None:
            if stage.asked <= 2:
                await stage.changes(SHORT)

        stage.on_snapshot = go_on
        await stage.until(lambda: stage.asked or mirrored.error)
        await stage.until(lambda: stage.seq >= first + SHORT - 1)
        await mirrored.connected()
        # Now all that was on its way has come.
        await asyncio.sleep(QUIET)
        await mirrored.equals(
            f"a snapshot, and the changes from {first} on over /updates while that was on its way, and no change "
            "after them"
        )


async def mirror_order(stage: Stage) -> None:
    """Changes that the snapshot holds already, and that come after it."""
    async with stage.mirrored() as mirrored:
        one, other = list(stage.todos)[:2]
        first = stage.seq + 1

        async def overtake() -> None:
            if stage.asked == 1:
                stage.hold()
                stage.change(one, {**stage.todos[one], "status": "Overtaken"})
                stage.change(one, {**stage.todos[one], "status": "Done"})
                stage.change(other, None)

        stage.before_snapshot = overtake
        sent = f"a snapshot with seq {first + 2}"
        await mirrored.equals(f"{sent}, which holds the changes {first} to {first + 2}")
        stage.release(1)
        for _ in range(int(QUIET / PAUSE)):
            if fault := await mirrored.flaw():
                await mirrored.fail(
                    f"{sent}, and after it the message of change {first}, which was late",
                    fault,
                    "a message to be dropped whose seq is not above that of the snapshot",
                )
            await asyncio.sleep(PAUSE)
        stage.release()
        stage.change()
        await mirrored.equals(
            f"{sent}, after it the changes {first} to {first + 2}, which were late, then another"
        )


MIRROR = Exercise(
    name="mirror",
    title="Follow a board",
    hints=(
        "Who fetches first and listens then, misses what happens in between. Turn it round: listen, and fetch "
        "when you are sure to hear everything. What tells you that you are?",
        "The first message, the position. After it `snapshot = await get_board(base_url)` and "
        "`load(mirrored, snapshot)`. Messages that came meanwhile wait in the socket, and `changes_from` "
        "hands them out; drop each whose `seq` is not above that of the snapshot.",
        'In `apply`: if `message["todo"] is None`, then `mirrored.pop(message["id"], None)`, else '
        '`mirrored[message["id"]] = message["todo"]`. In `follow`: under `async with '
        "connect(updates_of(base_url), proxy=None) as socket:` put `await socket.recv()`, `snapshot = await "
        "get_board(base_url)` and `load(mirrored, snapshot)`; then `async for message in "
        'changes_from(socket, snapshot):`, and in it `if message["seq"] > snapshot["seq"]: apply(mirrored, '
        "message)`.",
    ),
    checks=(
        Check(
            "mirror.snapshot",
            0.5,
            "The dict becomes equal to the board that the mirror finds: each todo under its id.",
            "A page or program that joins late needs the whole board, once.",
            mirror_snapshot,
        ),
        Check(
            "mirror.changes",
            0.5,
            f"After {LONG} changes across a slow link the dict is equal to the board.",
            "From then on a few bytes for each change do, and nobody has to ask.",
            mirror_changes,
        ),
        Check(
            "mirror.race",
            0.5,
            "After changes while the snapshot was on its way the dict is equal to the board.",
            "Between fetching and listening is a gap. On loopback it is too short to be seen; on a real network "
            "it is not.",
            mirror_race,
        ),
        Check(
            "mirror.order",
            0.5,
            "Changes that the snapshot holds already, and that come after it, change nothing.",
            "Snapshot and changes come over two connections, and either may be faster.",
            mirror_order,
        ),
    ),
    needs=("mirror",),
    opens=partial(Stage.open, delay=FAR, jitter=FAR),
    untouched=untouched,
    deadline=60.0,
)


# recover

CUTS = 2
AWAY = 0.25


async def following(stage: Stage, mirrored: Mirrored) -> None:
    """Wait until a mirror follows the board.

    Raises:
        CannotJudge: it does not.
    """
    try:
        await mirrored.equals("a snapshot to whoever asks for /board")
    except Failed as fault:
        raise CannotJudge(f"this needs a mirror that follows a board (exercise mirror). {fault}") from None
    if not await mirrored.connected():
        raise CannotJudge("this needs a mirror that listens to /updates (exercise mirror).")
    stage.change()
    await mirrored.equals(f"the change {stage.seq} over /updates")


async def recover_cut(stage: Stage) -> None:
    """Reset connections, and a server that is not to be reached for a while."""
    async with stage.mirrored() as mirrored:
        await following(stage, mirrored)
        for _ in range(CUTS):
            async with stage.away():
                stage.reset()
                await stage.changes(SHORT)
                await asyncio.sleep(AWAY)
            await mirrored.equals(
                f"a reset of every connection, no way to connect for {AWAY:g} seconds, and meanwhile changes up "
                f"to {stage.seq}"
            )
            await stage.followed_again()


async def recover_closed(stage: Stage) -> None:
    """Sockets that are closed in good order."""
    async with stage.mirrored() as mirrored:
        await following(stage, mirrored)
        for code in (CloseCode.GOING_AWAY, CloseCode.SERVICE_RESTART):
            async with stage.away():
                await stage.close(code)
                await stage.changes(SHORT)
            await mirrored.equals(f"{named(code)} over /updates, and meanwhile changes up to {stage.seq}")
            await stage.followed_again()


async def recover_gap(stage: Stage) -> None:
    """Messages that never come."""
    async with stage.mirrored() as mirrored:
        await following(stage, mirrored)
        seq = stage.seq
        one, other, *_ = stage.todos
        stage.change(one, {**stage.todos[one], "status": "Missed"}, lost=True)
        stage.change(other, {**stage.todos[other], "status": "Heard"})
        await mirrored.equals(f"the change {seq + 2} after {seq} over /updates, and never {seq + 1}")
        await mirrored.connected()
        stage.change(other, {**stage.todos[other], "status": "Missed"}, lost=True)
        stage.say_position()
        await mirrored.equals(
            f"the position {stage.seq} after change {stage.seq - 1} over /updates, and no change"
        )


async def recover_restart(stage: Stage) -> None:
    """A server that starts anew, with numbers below and above those before."""
    async with stage.mirrored() as mirrored:
        await following(stage, mirrored)
        for seq in (1, stage.seq + 1):
            old = f"after {stage.epoch} at seq {stage.seq}"
            async with stage.away():
                stage.reset()
                stage.begin(seq)
            said = f"a reset of every connection, and then the epoch {stage.epoch} at seq {seq} {old}"
            await mirrored.equals(said)
            await stage.followed_again()
            await stage.changes(SHORT)
            await mirrored.equals(f"{said}, and changes up to {stage.seq}")


async def recover_unready(stage: Stage) -> None:
    """A server that is back, but has no snapshot to give yet."""
    async with stage.mirrored() as mirrored:
        await following(stage, mirrored)
        async with stage.away():
            stage.reset()
            stage.failing = CUTS
            await stage.changes(SHORT)
        await mirrored.equals(
            f"a reset of every connection, and 503 Service Unavailable to the next {CUTS} who ask for /board"
        )


RECOVER = Exercise(
    name="recover",
    title="Become equal again",
    hints=(
        "Do not mend: start over. Whatever went wrong, a new socket and a new snapshot make it right, and "
        "`follow` does just that. So call it again and again.",
        "`follow` may end, after a good close, and it may raise anything: `OSError`, `ConnectionClosed`, an "
        "error of the snapshot. `except Exception` is right here. Wait a little before the next call, at "
        "random. In `is_unfit`, ask which `seq` would fit: one more for a change, the same for a position.",
        "In `come_back`: `while True:`, in it `with suppress(Exception): await follow(base_url, mirrored)`, "
        "then `await asyncio.sleep(random.uniform(0, MAX_DELAY))`. In `is_unfit`: `expected = seq + 1 if "
        '"id" in message else seq`, then `return message["epoch"] != epoch or message["seq"] > expected`.',
    ),
    checks=(
        Check(
            "recover.cut",
            0.5,
            f"After each of {CUTS} resets, with changes while nobody can connect, the dict becomes equal again.",
            "A connection that lasts for days will break, and what happens meanwhile is told to nobody.",
            recover_cut,
        ),
        Check(
            "recover.closed",
            0.5,
            "After the server has closed the socket in good order the dict becomes equal again.",
            "A loop over a socket ends quietly then, without an exception: a mirror that stops there looks alive.",
            recover_closed,
        ),
        Check(
            "recover.gap",
            0.5,
            "After a number that was left out, be it seen by the next change or by a position, the dict becomes "
            "equal again.",
            "One missed change is enough to be wrong for ever, and only the numbers tell.",
            recover_gap,
        ),
        Check(
            "recover.restart",
            0.5,
            "After the server has started anew, under another epoch and with other todos, the dict becomes equal "
            "to the new board.",
            "Numbers begin anew with the server: without the epoch, an old 7 and a new 7 look alike.",
            recover_restart,
        ),
        Check(
            "recover.unready",
            0.5,
            "When the server answers the request for a snapshot with an error, the dict becomes equal later.",
            "A server that has just started is often not ready. Who gives up then has to be started by hand.",
            recover_unready,
        ),
    ),
    needs=("mirror",),
    opens=partial(Stage.open, delay=NEAR),
    untouched=never_back,
    deadline=60.0,
)

# page


async def page_untouched(page: Page) -> None:
    """There is no page."""
    await page.evidence(board_page.delivery)


async def page_served(page: Page) -> None:
    """What comes over the wire."""
    seen = await page.evidence(board_page.delivery)
    kind = seen.answer.headers.get("content-type", "")
    if not seen.answer.ok or kind.partition(";")[0].strip().lower() != "text/html":
        kind = f'the content type "{shown(kind)}"' if kind else "no content type"
        raise Failed(f"{seen.answer.said} and {kind}; expected a page, {status_named(200)} with text/html.")
    if seen.elsewhere:
        raise Failed(
            f"Sent {seen.answer.sent}; got a page that loads {shown(seen.elsewhere[0])}; expected everything to "
            "come from the server of the page itself: a classroom may be offline."
        )
    if not seen.names_the_socket:
        raise Failed(
            f"Sent {seen.answer.sent}; got a page that names no socket, in its text or its scripts; expected it "
            "to listen to /updates."
        )


async def in_browser(page: Page) -> Life | None:
    """What the page is like in a browser; None where there is none.

    Raises:
        CannotJudge: there is no browser, and what comes over the wire is no such page.
    """
    delivered = await page.evidence(board_page.delivery)
    seen = await page.evidence(board_page.life)
    if seen is None and not (delivered.answer.ok and delivered.names_the_socket):
        raise CannotJudge("this needs a page that listens to /updates (page.served).")
    return seen


def not_looked_at(what: str) -> str:
    """What to say where there is no browser."""
    return f"({what} was not looked at: that takes Chromium or Chrome, and the package playwright.)"


async def page_live(page: Page) -> str | None:
    """The board and its changes."""
    seen = await in_browser(page)
    if seen is None:
        return not_looked_at("What it shows")
    if seen.live:
        raise seen.live
    return None


async def live_page(page: Page) -> Life | None:
    """What the page is like in a browser, if it shows the board.

    Raises:
        CannotJudge: it does not.
    """
    seen = await in_browser(page)
    if seen and seen.live:
        raise CannotJudge("this needs a page that shows the board (page.live).")
    return seen


async def page_text(page: Page) -> str | None:
    """A task with markup in it."""
    seen = await live_page(page)
    if seen is None:
        return not_looked_at("How it shows a text")
    if seen.text:
        raise seen.text
    return None


async def page_honest(page: Page) -> str | None:
    """A connection that breaks."""
    seen = await live_page(page)
    if seen is None:
        if not (await page.evidence(board_page.delivery)).has_a_status:
            raise Failed(
                'Sent GET /; got a page without role="status", in its text or its scripts; expected an element '
                "with that role, which says whether the page is connected."
            )
        return not_looked_at("What it says without a connection")
    if seen.honest:
        raise seen.honest
    return None


PAGE = Exercise(
    name="page",
    title="Show it in a browser",
    hints=(
        "A browser has all you need: `new WebSocket(address)` with `onmessage` and `onclose`, and `await "
        "fetch(address)`. The simplest page that is never wrong takes each message as a reason to look again.",
        "`socket.onmessage = async () => { … }` gets `board`, draws it, and says that the page is live. "
        "`socket.onclose = () => { … }` says that it is not, and calls `listen` again after a while, with "
        "`setTimeout(listen, 500 * Math.random())`.",
        "Return the JavaScript as a text, between `'''` and `'''`. The line: `function line(todo) {`, `const "
        'item = document.createElement("li");`, `item.textContent = todo.task + ", " + todo.status;`, '
        "`return item; }`. Listening: `function listen() {`, the lines for `address` and `socket` above, "
        '`socket.onmessage = async () => { draw(await (await fetch("board")).json()); say("Live"); };`, '
        '`socket.onclose = () => { say("Not connected"); setTimeout(listen, 500 * Math.random()); }; }`. '
        "Behind it: `listen();`.",
    ),
    checks=(
        Check(
            "page.served",
            0.5,
            "GET / answers with an HTML page that loads nothing from another server, and names the socket.",
            "A page that needs the internet is blank in a train, and tells others who reads it.",
            page_served,
        ),
        Check(
            "page.live",
            0.5,
            "The page shows all todos, and each change without a reload.",
            "Nobody presses reload all day: what is on the screen is taken for true.",
            page_live,
        ),
        Check(
            "page.text",
            0.5,
            "A task with HTML in it is shown as the text that it is.",
            "Else whoever may write a todo may run programs in the browsers of all others.",
            page_text,
        ),
        Check(
            "page.honest",
            0.5,
            "When the connection breaks, the page says so; when it is back, the page catches up and says that.",
            "An old page that looks fresh is worse than none.",
            page_honest,
        ),
    ),
    needs=("app",),
    opens=Page.open,
    untouched=page_untouched,
    deadline=90.0,
)

LAB = Lab(
    name="08_live_board",
    title="A live board",
    deliverables={"app": "asgi", "mirror": "function"},
    exercises={exercise.name: exercise for exercise in (PUBLISH, MIRROR, RECOVER, PAGE)},
)
