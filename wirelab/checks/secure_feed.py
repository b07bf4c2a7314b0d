"""Lab 07: prices and todos for those who log in. Its deliverable is ``app``, an ASGI application."""

from __future__ import annotations

import secrets
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from websockets.frames import CloseCode

from wirelab.checks import CannotJudge, Check, Exercise, Failed, Lab, NotAttempted
from wirelab.checks import secure_trials as trials
from wirelab.checks.exchange import Exchange, as_json, named, shown
from wirelab.checks.secure_service import (
    AUDIENCE,
    HASHES,
    MAX_MESSAGE,
    OWNED,
    PASSWORDS,
    TICKET_LENGTH,
    TICKET_SECONDS,
    TOKEN_SECONDS,
    Service,
    Token,
    Visit,
    minimal,
    no_handler,
    ticket_within,
    token_within,
)
from wirelab.checks.todo_service import new_task, todos_within
from wirelab.checks.websocket_clients import named as named_code

# Seconds by which the clock of a token may be off, or its lifetime rounded.
CLOCK = 60


# login


async def login_untouched(service: Service) -> None:
    """The right password meets a stub."""
    answer = await service.login("ada", PASSWORDS["ada"])
    if await service.api.missing(answer):
        raise no_handler(answer)


async def login_token(service: Service) -> None:
    """What the right password gets."""
    for user, password in PASSWORDS.items():
        answer = await service.login(user, password)
        if not answer.ok:
            answer.fail(f"{named(200)} with a token, because this is {user}'s password")
        token = token_within(answer)
        if token is None:
            answer.fail('a signed token (a JWT), {"access_token": "…", "token_type": "bearer"}')
        if flaw := token_flaw(token, user):
            answer.fail(f"a token whose claims are true and signed with SECRET; {flaw}")


def token_flaw(token: Token, user: str) -> str:
    """What is wrong with a new token, in words; empty if nothing is."""
    claims = token.claims
    if token.header.get("alg") not in HASHES:
        return f"its header says {as_json(token.header)}, which is no HS256"
    if not token.genuine:
        return f"its signature is not the one that SECRET makes by {token.header['alg']}"
    if claims.get("sub") != user:
        return f"its claims are {as_json(claims)}, so sub is not {as_json(user)}"
    expires, now = claims.get("exp"), time.time()
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        return f"its claims are {as_json(claims)}, without an exp that is a number, so it is good for ever"
    if expires <= now:
        return f"its exp is {expires:g}, {now - expires:.0f} seconds ago"
    if abs(expires - now - TOKEN_SECONDS) > CLOCK:
        return f"its exp is {expires:g}, in {expires - now:.0f} seconds, not in {TOKEN_SECONDS}"
    return ""


async def login_refused(service: Service) -> None:
    """Wrong passwords, and a user that nobody is."""
    found = await service.evidence(trials.refusals)
    for answer in found.all:
        if answer.status != HTTPStatus.UNAUTHORIZED:
            answer.fail(f"{named(401)}, for a wrong password as for a user that nobody is")
        if "www-authenticate" not in answer.headers:
            raise Failed(
                f"{answer.said}, and no WWW-Authenticate header; expected one such as WWW-Authenticate: Bearer, "
                "which RFC 9110 asks of every 401: it says how to do better."
            )
    wrong, unknown = found.wrong_password, found.unknown
    # What changes by itself, such as a time, tells nothing of the user.
    if wrong.body == found.repeated.body and wrong.body != unknown.body:
        raise Failed(
            f"{wrong.said}. Sent {unknown.sent}; got {unknown.got}; expected the same answer both times, or "
            "whoever tries names learns which of them exist."
        )


async def login_time(service: Service) -> None:
    """How long both refusals take."""
    found = await service.evidence(trials.times)
    if not found.alike:
        slow, quick = ("known", "unknown") if found.ratio < 1 else ("unknown", "known")
        raise Failed(
            f"Sent POST /login {len(found.known)} times with a wrong password for a known user, and as often for "
            f"an unknown one; got an answer for the {quick} user {max(found.ratio, 1 / found.ratio):.1f} times as "
            f"fast as for the {slow} one; expected the same time for both: a watch tells as much as words."
        )


async def login_crowd(service: Service) -> None:
    """Many at once."""
    found = await service.evidence(trials.crowd)
    for answer in found.logins:
        if not answer.ok:
            answer.fail(f"{named(200)} with a token, because many may log in at the same time")
    if found.share >= trials.STALLED:
        raise Failed(
            f"Sent POST /login {trials.CROWD} times at once, and GET /health meanwhile; got an answer to one "
            f"GET /health only after {100 * found.share:.0f} % of the time that all these logins took; expected "
            "it in between: checking a password is work; on the event loop, or in the threads that all handlers "
            "share, it keeps everybody else waiting."
        )


LOGIN = Exercise(
    name="login",
    title="Log in",
    hints=(
        "A token is a dictionary of claims, signed. And `hasher.verify` takes its time on purpose: take that time "
        "for everybody, and take it somewhere else than on the event loop.",
        "`jwt.encode(claims, SECRET, algorithm=ALGORITHM)` makes a token; `exp` is in seconds since 1970, as "
        "`time.time()` is. Somebody who does not exist has a hash too, `NOBODY`: `USERS.get(username, NOBODY)`. "
        "`await asyncio.to_thread(function, argument, …)` calls a function in a thread.",
        'The token: `return jwt.encode({"sub": username, "aud": AUDIENCE, "exp": int(time.time()) + '
        "TOKEN_SECONDS}, SECRET, algorithm=ALGORITHM)`. The password: `fits = await "
        "asyncio.to_thread(hasher.verify, password, USERS.get(username, NOBODY))`, then `return fits and "
        "username in USERS`.",
    ),
    checks=(
        Check(
            "login.token",
            0.5,
            "POST /login with the right password answers with a JWT, signed with SECRET, whose sub is the user "
            f"and whose exp is {TOKEN_SECONDS} seconds ahead.",
            "Whoever holds the token is believed without another look at a password, so it must say who, and "
            "until when.",
            login_token,
        ),
        Check(
            "login.refused",
            0.5,
            "POST /login with a wrong password and with an unknown user get the same 401, with WWW-Authenticate.",
            "An answer that differs tells a stranger which names are worth a try.",
            login_refused,
        ),
        Check(
            "login.time",
            0.5,
            "POST /login with an unknown user takes as long as with a wrong password.",
            "Words can be alike and the time still tell: who is answered at once does not exist.",
            login_time,
        ),
        Check(
            "login.crowd",
            0.5,
            f"While {trials.CROWD} log in at once, GET /health is answered in between.",
            "A password check is slow on purpose. On the event loop, it stops every other client of the server.",
            login_crowd,
        ),
    ),
    needs=("app",),
    opens=Service.open,
    untouched=login_untouched,
    deadline=60.0,
)


# token


async def good_token(service: Service, user: str = "ada") -> Token:
    """A token with which GET /todos works."""
    return await service.token(user, "GET", "/todos")


async def token_untouched(service: Service) -> None:
    """Nobody has written yet what a token opens."""
    await _attempted(good_token(service))


async def _attempted(work: Coroutine[Any, Any, object]) -> None:
    """Do something of which the checks judge whether it works: here only whether anybody has written it.

    Raises:
        NotAttempted: nobody has.
    """
    try:
        await work
    except NotAttempted:
        raise
    except CannotJudge:
        pass


async def token_todos(service: Service) -> None:
    """The caller's own todos, in a list and one by one."""
    for user, tasks in OWNED.items():
        token = await _token_or(service, user)
        told = f"with {user}'s token"
        answer = await service.ask("GET", "/todos", token.text, told)
        if not answer.ok:
            answer.fail(f"{named(200)} with the todos of {user}, because this token is good")
        seen = {todo["id"]: todo.get("task") for todo in todos_within(answer.json())}
        if seen != tasks:
            answer.fail(f"the todos of {user} and no others, which are {as_json(tasks)}")
        for id, task in tasks.items():
            one = await service.ask("GET", f"/todos/{id}", token.text, told)
            await _written(service, one)
            found = todos_within(one.json())
            if not one.ok or [todo.get("task") for todo in found] != [task]:
                one.fail(f"{named(200)} with the todo {id}, because it is {user}'s")


async def _token_or(service: Service, user: str) -> Token:
    """A token with which GET /todos works, or else one that should."""
    try:
        return await good_token(service, user)
    except NotAttempted:
        raise
    except CannotJudge:
        return minimal(user)


async def _written(service: Service, answer: Exchange) -> None:
    if answer.status != HTTPStatus.NOT_FOUND and await service.api.missing(answer):
        raise no_handler(answer)


async def _all_get_401(service: Service, bad: Iterable[tuple[str, str | None]], because: str) -> None:
    """Ask for the todos with each bad token, and with the first one for all else that a good token opens.

    The words say what is wrong with a token.
    """
    await good_token(service)
    tries = [("GET", "/todos", told, token) for told, token in bad]
    tries += [(method, path, *tries[0][2:]) for method, path in await service.evidence(_other_doors)]
    for method, path, told, token in tries:
        answer = await service.ask(method, path, token, told)
        if answer.status != HTTPStatus.UNAUTHORIZED:
            answer.fail(f"{named(401)}, because {because}")


async def _other_doors(service: Service) -> list[tuple[str, str]]:
    """What a good token opens beside the list; whether it should is for others to judge."""
    found = []
    for method, path in (("GET", f"/todos/{min(OWNED['ada'])}"), ("POST", "/ticket")):
        with suppress(CannotJudge, Failed):
            await service.token("ada", method, path)
            found.append((method, path))
    return found


async def token_missing(service: Service) -> None:
    """No token, or something that is none."""
    bad = [
        ("without a token", None),
        ("with an empty token", ""),
        ("with a word for a token", secrets.token_hex(8)),
        ("with half a token", (await good_token(service)).text.rpartition(".")[0]),
    ]
    await _all_get_401(service, bad, "only a token tells who is asking")


async def token_address(service: Service) -> None:
    """A good token where it does not belong."""
    token = await good_token(service)
    for name in ("token", "access_token"):
        answer = await service.ask("GET", f"/todos?{name}={token.text}")
        if answer.status != HTTPStatus.UNAUTHORIZED:
            raise Failed(
                f"Sent GET /todos?{name}=… with a good token in the address, and none in the header; got "
                f"{answer.got}; expected {named(401)}: an address is kept in logs, histories and bookmarks."
            )


async def token_signature(service: Service) -> None:
    """Tokens that others have made, or altered."""
    token = await good_token(service)
    altered = token.forged(sub="grace").rpartition(".")[0] + "." + token.text.rpartition(".")[2]
    bad = [
        ("with a token that another key has signed", token.forged(secrets.token_hex(32))),
        ("with a token that an empty key has signed", token.forged("")),
        ("with ada's token, its sub changed to grace under the old signature", altered),
        ("with a good token whose signature was cut off", token.text.rpartition(".")[0] + "."),
    ]
    await _all_get_401(service, bad, "anybody can write claims: only the signature says that this service did")


async def token_algorithm(service: Service) -> None:
    """Tokens that say themselves how they want to be looked at."""
    token = await good_token(service)
    other = next(name for name in ("HS512", "HS256") if name != token.header.get("alg"))
    bad = [
        (
            f'with a token without a signature, whose header says {{"alg": "{none}"}}',
            token.forged(header={"alg": none}),
        )
        for none in ("none", "None", "NONE")
    ]
    bad.append((f'with a token whose header says {{"alg": "{other}"}}', token.forged(header={"alg": other})))
    await _all_get_401(service, bad, "which algorithm is right is for the service to say, not for the token")


async def token_expired(service: Service) -> None:
    """Tokens whose time is over."""
    token, now = await good_token(service), int(time.time())
    bad = [
        (
            f"with a token that expired {ago} ago",
            token.forged(exp=now - seconds, iat=now - seconds - TOKEN_SECONDS),
        )
        for ago, seconds in (("two minutes", 120), ("two days", 172_800))
    ]
    await _all_get_401(service, bad, "its time is over")


async def token_audience(service: Service) -> None:
    """Tokens for somebody else's service."""
    token = await good_token(service)
    bad = [
        (f"with a token whose aud is {as_json(other)}, not {as_json(AUDIENCE)}", token.forged(aud=other))
        for other in (f"shop-{secrets.token_hex(3)}", AUDIENCE.upper())
    ]
    await _all_get_401(service, bad, "it was given out for another service")


async def token_owner(service: Service) -> str | None:
    """What is somebody else's."""
    tokens = {user: (await good_token(service, user)).text for user in OWNED}
    for user, other in (("ada", "grace"), ("grace", "ada")):
        for id in OWNED[other]:
            answer = await service.ask("GET", f"/todos/{id}", tokens[user], f"with {user}'s token")
            await _written(service, answer)
            if answer.status != HTTPStatus.NOT_FOUND:
                answer.fail(f"{named(404)}, because it is {other}'s: whether it exists is no business of {user}'s")
    return await _creation(service, tokens)


async def _creation(service: Service, tokens: dict[str, str]) -> str | None:
    """Whose a new todo is."""
    body = {"task": new_task(), "owner": "grace", "user": "grace", "username": "grace", "sub": "grace"}
    answer = await service.ask("POST", "/todos", tokens["ada"], "with ada's token", body)
    if answer.status == HTTPStatus.NOT_IMPLEMENTED:
        raise no_handler(answer)
    if not answer.ok:
        return "(POST /todos does not work, so whose a new todo is was not looked at.)"
    for user, hers in (("grace", False), ("ada", True)):
        seen = await service.ask("GET", "/todos", tokens[user], f"with {user}'s token")
        if (body["task"] in [todo.get("task") for todo in todos_within(seen.json())]) != hers:
            raise Failed(
                f"{answer.said}. Sent {seen.sent}; got {seen.got}; expected the new todo "
                f"{'there' if hers else 'not to be there'}, because ada's token made it, whatever the body says."
            )
    return None


TOKEN = Exercise(
    name="token",
    title="Believe a token, and it alone",
    hints=(
        "`jwt.decode` checks signature, time and audience, if it is told what to expect. Never look at the token "
        "itself to find out how it wants to be checked.",
        "`jwt.decode(token, SECRET, algorithms=[ALGORITHM], audience=AUDIENCE)` gives the claims or raises "
        "`jwt.InvalidTokenError`. Todos have an `owner`, and `user` is who asks: compare these, whatever else the "
        "request says.",
        "In a `try`: `return jwt.decode(token, SECRET, algorithms=[ALGORITHM], audience=AUDIENCE)`, and "
        "`except jwt.InvalidTokenError: return None`. One todo: `todo = todos.get(todo_id)`, then `return "
        'todo if todo and todo["owner"] == user else None`. A new one: `return {"id": max(todos) + 1, '
        '"owner": user, "task": new.task, "status": "Pending"}`.',
    ),
    checks=(
        Check(
            "token.todos",
            0.25,
            "GET /todos and GET /todos/{id} with a good token answer with the caller's own todos.",
            "Stateless means: the request itself says who is asking, and any worker can answer it.",
            token_todos,
        ),
        Check(
            "token.missing",
            0.25,
            "GET /todos, GET /todos/{id} and POST /ticket without a token, or with something that is none, answer "
            "401 Unauthorized.",
            "What is open by mistake is found by machines within hours.",
            token_missing,
        ),
        Check(
            "token.address",
            0.25,
            "GET /todos with a good token in the address only answers 401 Unauthorized.",
            "Addresses are written down everywhere: in access logs, histories, and the Referer of the next page.",
            token_address,
        ),
        Check(
            "token.signature",
            0.25,
            "GET /todos, GET /todos/{id} and POST /ticket with a token that somebody else made or altered answer "
            "401 Unauthorized.",
            "A token can be read and written without any key; the signature alone makes it worth something.",
            token_signature,
        ),
        Check(
            "token.algorithm",
            0.25,
            'GET /todos, GET /todos/{id} and POST /ticket with a token that says {"alg": "none"}, or names '
            "another algorithm, answer 401.",
            "Who lets a stranger choose the lock has no lock (RFC 8725, section 3.1).",
            token_algorithm,
        ),
        Check(
            "token.expired",
            0.25,
            "GET /todos, GET /todos/{id} and POST /ticket with a token whose exp is past answer 401 Unauthorized.",
            "A signed token cannot be called back. Its time is what ends a theft.",
            token_expired,
        ),
        Check(
            "token.audience",
            0.25,
            "GET /todos, GET /todos/{id} and POST /ticket with a token for another audience answer 401 "
            "Unauthorized.",
            "Services may share a key. The one that you log in to must not be able to play you at the next.",
            token_audience,
        ),
        Check(
            "token.owner",
            0.25,
            "GET /todos/{id} of somebody else's todo answers 404 Not Found, and what POST /todos makes is the "
            "caller's, whatever the body says.",
            "Logged in is not the same as allowed: this is the commonest hole in APIs (OWASP API1).",
            token_owner,
        ),
    ),
    needs=("app",),
    opens=Service.open,
    untouched=token_untouched,
)


# ticket


async def ticket_untouched(service: Service) -> None:
    """Nobody has written yet how to buy a ticket, or what it takes to be somebody."""
    await _attempted(service.ticket())


async def opened(service: Service) -> Visit:
    """Show a new ticket.

    Raises:
        NotAttempted: nobody has written yet what a ticket opens.
    """
    await service.evidence(_way_in)
    visit = await service.show(await service.ticket())
    if visit.unwritten:
        raise NotAttempted(f"the handshake at /prices gets {named(visit.status)}.")
    return visit


async def _way_in(service: Service) -> bool:
    """Find out who is let in, a program or only the service's own page: exercise origin judges that."""
    try:
        await (await service.enter()).leave()
    except CannotJudge as nobody:
        if isinstance(nobody, NotAttempted):
            raise
        return False
    return True


async def _needs_a_way_in(service: Service) -> None:
    """A service that refuses everybody refuses strangers, too."""
    if not await service.evidence(_way_in):
        raise CannotJudge("no ticket opens a socket, so being refused means nothing.")


async def ticket_opens(service: Service) -> None:
    """One ticket, one socket."""
    answer = await _purchase(service)
    ticket = ticket_within(answer)
    if not answer.ok or ticket is None:
        answer.fail('a new ticket, {"ticket": "…"}')
    visit = await opened(service)
    if not await visit.let_in():
        raise visit.failure("an open socket on which prices arrive, because the ticket is new")


async def _purchase(service: Service) -> Exchange:
    """Buy a ticket by a token that buys one, or else try by one that opens the todos."""
    try:
        return await service.buy()
    except NotAttempted:
        raise
    except CannotJudge:
        return await service.buy((await good_token(service)).text, told="with a token that opens the todos")


async def ticket_once(service: Service) -> None:
    """The same ticket again."""
    await _needs_a_way_in(service)
    ticket = await service.ticket()
    first = await service.show(ticket)
    if not await first.let_in():
        raise first.failure("an open socket on which prices arrive, because the ticket is new")
    for when in ("while its first socket is open", "when its first socket is closed"):
        if first.client and "closed" in when:
            await first.client.leave()
        again = await service.show(ticket, told=f"for the second time, {when}")
        if not await again.turned_away():
            raise again.failure("it to be refused, because a ticket opens one socket")
    inside = await service.evidence(trials.rivals)
    if len(inside) != 1:
        what = "no socket" if not inside else f"{len(inside)} open sockets"
        raise Failed(
            f"Sent {trials.RIVALS} handshakes with one ticket at once; got {what}; expected exactly one, because "
            "between looking a ticket up and crossing it out another request may come."
        )


async def ticket_time(service: Service) -> str | None:
    """A ticket that somebody used in time, and one that nobody did."""
    await _needs_a_way_in(service)
    aged = await service.evidence(trials.aged)
    if not await aged.young.let_in():
        raise aged.young.failure(
            f"an open socket on which prices arrive, because a ticket is good for {TICKET_SECONDS} seconds"
        )
    if not await aged.visit.turned_away():
        raise aged.visit.failure("it to be refused, because the ticket's time is over")
    if aged.seconds > TICKET_SECONDS:
        return f"(With ?seconds={trials.SHORT} honoured, this check would not have to wait so long.)"
    return None


async def ticket_needed(service: Service) -> None:
    """No ticket, no socket."""
    await _needs_a_way_in(service)
    token = (await service.token("ada", "POST", "/ticket")).text
    for query, told in (
        ("", " without a ticket"),
        ("?ticket=", "?ticket= (empty)"),
        (f"?ticket={secrets.token_urlsafe(24)}", "?ticket=… with an invented ticket"),
        (f"?ticket={token}", "?ticket=… with a bearer token for a ticket"),
        (f"?token={token}", "?token=… with a bearer token"),
        (f"?access_token={token}", "?access_token=… with a bearer token"),
    ):
        visit = await service.knock(query, told=told, origin=service.usual_origin)
        if not await visit.turned_away():
            raise visit.failure("it to be refused, because only a ticket that was bought opens a socket")
    tickets = [await service.ticket() for _ in range(3)]
    if len(set(tickets)) < len(tickets) or min(map(len, tickets)) < TICKET_LENGTH:
        raise Failed(
            f"Sent POST /ticket three times; got the tickets {shown(', '.join(tickets))}; expected three that "
            f"nobody can guess, of {TICKET_LENGTH} characters at least: secrets.token_urlsafe() makes such."
        )


TICKET = Exercise(
    name="ticket",
    title="A ticket for one socket",
    hints=(
        "Keep what a ticket stands for in the dictionary `tickets`: the claims, and until when it is good. What "
        "takes a ticket out, and tells what it was, in one step?",
        "`secrets.token_urlsafe()` makes a ticket that nobody guesses. `tickets.pop(ticket, None)` takes it out: "
        "the next one who comes with it gets `None`. `time.monotonic()` is a clock that is never set back.",
        "Selling: `ticket = secrets.token_urlsafe()`, `tickets[ticket] = claims, time.monotonic() + seconds`, "
        "`return ticket`. Taking: `claims, good_until = tickets.pop(ticket, (None, 0))`, and "
        "`return claims if time.monotonic() < good_until else None`.",
    ),
    checks=(
        Check(
            "ticket.opens",
            0.5,
            "POST /ticket with a token answers with a ticket, and /prices?ticket=… opens a socket on which prices "
            "arrive.",
            "A browser cannot give a WebSocket an Authorization header; a ticket may stand in the address.",
            ticket_opens,
        ),
        Check(
            "ticket.once",
            0.5,
            "The same ticket is refused the second time, and of several that come with it at once one gets in.",
            "It stands in an address, and so in a log. Whoever reads it there must find it worthless.",
            ticket_once,
        ),
        Check(
            "ticket.time",
            0.5,
            "A ticket opens a socket some seconds after it was bought, and none when its time is over.",
            "One that was never used lies about. Thirty seconds later nobody should be able to pick it up.",
            ticket_time,
        ),
        Check(
            "ticket.needed",
            0.5,
            "Without a ticket, with an invented one, or with a bearer token in the address no socket opens; "
            "nobody can guess one.",
            "A token in an address is a key under the doormat, and good for a quarter of an hour.",
            ticket_needed,
        ),
    ),
    needs=("app",),
    opens=Service.open,
    untouched=ticket_untouched,
    # Where only ordinary tickets are sold, one has to grow old.
    deadline=75.0,
)


# origin


async def origin_untouched(service: Service) -> None:
    """A browser meets a stub, or there is no ticket to come with."""
    visit = await service.knock(f"?ticket={await service.ticket()}", origin=service.origin)
    if visit.unwritten:
        raise NotAttempted(f"a handshake with an Origin gets {named(visit.status)}.")


async def _page_and_program(service: Service) -> dict[str, Visit]:
    """Come once as the service's own page, once as a program."""
    visits = {}
    for who, origin in (("page", service.origin), ("program", None)):
        visits[who] = await service.knock(f"?ticket={await service.ticket()}", origin=origin, told="?ticket=…")
    return visits


async def origin_foreign(service: Service) -> None:
    """Pages of others."""
    visits = await service.evidence(_page_and_program)
    if not any([await visit.let_in() for visit in visits.values()]):
        raise CannotJudge("no ticket opens a socket, so being refused means nothing.")
    own = urlsplit(service.origin)
    name = secrets.choice(("evil", "phish", "games")) + secrets.token_hex(2)
    for origin in (
        f"http://{name}.example",
        f"https://{name}.example:{own.port}",
        f"http://{own.hostname}:{(own.port or 80) % 65_535 + 1}",
        f"http://{own.hostname}.{name}.example:{own.port}",
        "null",
    ):
        visit = await service.knock(f"?ticket={await service.ticket()}", origin=origin, told="?ticket=…")
        # The answer to the handshake counts: who is let in to be thrown out may have heard something.
        if not await visit.turned_away() or visit.client:
            raise visit.failure(
                f"{named(403)} at the handshake, because that page is not from {service.origin}, and CORS does "
                "not apply to WebSockets"
            )


async def origin_own(service: Service) -> None:
    """The service's own page."""
    await _let_in(service, "page", "that is where this page is from")


async def origin_none(service: Service) -> None:
    """Programs."""
    await _let_in(service, "program", "programs send no Origin, and have no cookies of somebody else to misuse")


async def _let_in(service: Service, who: str, because: str) -> None:
    visits = await service.evidence(_page_and_program)
    if not await visits[who].let_in():
        if not any([await visit.let_in() for visit in visits.values()]):
            raise CannotJudge(
                f"this needs a ticket to open a socket. Sent {visits[who].said}; got {visits[who].got}."
            )
        raise visits[who].failure(f"an open socket on which prices arrive, because {because}")


ORIGIN = Exercise(
    name="origin",
    title="Hunt the bug: whose page is it",
    hints=(
        "The browser says truly whose page it acts for, in the header `Origin`; a program sends none. What would "
        "the browser say if the page had come from this very server?",
        '`websocket.headers.get("origin")` is `None` for a program. The server\'s own origin is '
        '`"http://" + websocket.headers["host"]`, host and port together. Compare all of it: `startswith` and '
        "`in` let in `http://127.0.0.1.evil.example`.",
        '`origin = websocket.headers.get("origin")`, then `return origin in (None, "http://" + '
        'websocket.headers["host"])`.',
    ),
    checks=(
        Check(
            "origin.foreign",
            1.0,
            "A handshake with the Origin of another page is refused with a 4xx status, though its ticket is good.",
            "Any page that somebody opens can make their browser connect here. This header is what gives it away.",
            origin_foreign,
        ),
        Check(
            "origin.own",
            0.5,
            "A handshake with the server's own Origin is let in.",
            "Who refuses every Origin has locked out every browser.",
            origin_own,
        ),
        Check(
            "origin.none",
            0.5,
            "A handshake without an Origin is let in.",
            "Programs send none. The header protects people who browse; a program that lies cheats only itself.",
            origin_none,
        ),
    ),
    needs=("app",),
    opens=Service.open,
    untouched=origin_untouched,
)


# expiry


async def expiry_untouched(service: Service) -> None:
    """Who says a word meets a stub, or there is no ticket to come with."""
    client = await trials.after_words(service, "x" * (3 * MAX_MESSAGE))
    if await service.unwritten(client):
        raise NotAttempted("whoever says something on a socket gets close code 1011, not written yet.")


async def expiry_token(service: Service) -> None:
    """A socket that outlives its token."""
    seen = await service.evidence(trials.expired)
    sent = f"a handshake with a ticket whose token was good for {seen.began_with:.1f} seconds more"
    if seen.ended is None:
        raise Failed(
            f"Sent {sent}; got prices {trials.LATE:g} seconds after it had expired; expected the socket to close "
            "when the token expires, or logging out and being locked out mean nothing to whoever is in."
        )
    await service.explain(seen.client)
    if seen.client.broke:
        raise Failed(f"Sent {sent}; got {seen.client.got}; expected a close code that says why, such as 1008.")
    if seen.ended < seen.expires - trials.EARLY:
        raise Failed(
            f"Sent {sent}; got {seen.client.end} {seen.expires - seen.ended:.1f} seconds too early; expected the "
            "socket to stay open until the token expires."
        )
    if seen.other.ending:
        raise Failed(
            f"Sent a handshake with a ticket whose token is good for minutes; got {seen.other.end} after seconds; "
            "expected that socket to stay open."
        )


async def expiry_late(service: Service) -> None:
    """A ticket that outlives its token."""
    seen = await service.evidence(trials.expired)
    if seen.late.client and not seen.late.client.broke:
        await seen.late.client.ended(trials.LATE)
    if seen.late.client is None and 400 <= seen.late.status < 500:
        return
    if seen.late.client is None or seen.late.client.broke or seen.late.client.ending is None:
        raise seen.late.failure("it to be refused, or closed at once, because the token had expired")


async def expiry_message(service: Service) -> None:
    """Messages that are as long as may be, and a byte longer."""
    for kind, fits, long in (
        ("text", "x" * MAX_MESSAGE, "x" * (MAX_MESSAGE + 1)),
        ("binary", b"\x00" * MAX_MESSAGE, b"\x00" * (MAX_MESSAGE + 1)),
    ):
        client = await trials.after_words(service, fits)
        await service.explain(client)
        if client.ending:
            raise Failed(
                f"Sent a {kind} message of {len(fits)} bytes; got {client.end}; expected the socket to stay open, "
                f"because it is no longer than MAX_MESSAGE, {MAX_MESSAGE} bytes."
            )
        await client.say(long)
        await client.ended(trials.LATE)
        await service.explain(client)
        got = client.end or "prices, as if nothing had been said"
        if client.ending is None or client.ending.code != CloseCode.MESSAGE_TOO_BIG:
            raise Failed(
                f"Sent a {kind} message of {len(long)} bytes; got {got}; expected {named_code(1009)}, because it "
                f"is longer than MAX_MESSAGE, {MAX_MESSAGE} bytes."
            )
        await client.leave()


EXPIRY = Exercise(
    name="expiry",
    title="Close what must not stay open",
    hints=(
        "A handshake asks for a token once, and then never again. So something has to watch the clock while the "
        "socket is open; and something the length of what comes in.",
        "`exp` in the claims is in seconds since 1970, as `time.time()` is. `async with "
        "asyncio.timeout(seconds):` raises `TimeoutError` when these are over. A message has its text in "
        '`"text"` or its bytes in `"bytes"`, and the other one may be missing or `None`.',
        'The length: `return len(message.get("text") or message.get("bytes") or "") > MAX_MESSAGE`. The '
        'time: in a `try` `async with asyncio.timeout(claims["exp"] - time.time()): return await '
        "hear(websocket)`, and `except TimeoutError: return 1008`.",
    ),
    checks=(
        Check(
            "expiry.token",
            0.5,
            "A socket closes when the token expires that its ticket was bought with, and no sooner.",
            "A socket may stay open for days. Whoever was locked out at noon must not listen in the evening.",
            expiry_token,
        ),
        Check(
            "expiry.late",
            0.5,
            "A ticket that was bought by a token which has expired meanwhile opens no socket, or one that is "
            "closed at once.",
            "Between the purchase and the handshake time passes, too.",
            expiry_late,
        ),
        Check(
            "expiry.message",
            1.0,
            f"A message, text or binary, of more than {MAX_MESSAGE} bytes closes the socket with code 1009; one "
            f"of {MAX_MESSAGE} does not.",
            "What one client may send, a thousand may send at once. uvicorn would take 16 MB from each of them.",
            expiry_message,
        ),
    ),
    needs=("app",),
    opens=Service.open,
    untouched=expiry_untouched,
    deadline=60.0,
)


LAB = Lab(
    name="07_secure_feed",
    title="Prices for those who may see them",
    deliverables={"app": "asgi"},
    exercises={exercise.name: exercise for exercise in (LOGIN, TOKEN, TICKET, ORIGIN, EXPIRY)},
)
