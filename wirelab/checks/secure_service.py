"""A secured service as a check meets it, whatever it is built with: logins, tokens, tickets and sockets.

A check knows the lab's key, so it can make tokens of its own: good ones that expire soon, and bad ones.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Self, TypeAlias
from urllib.parse import urlencode

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.frames import CloseCode
from websockets.typing import Origin

from wirelab.checks import CannotJudge, Failed, NotAttempted, Served, Target
from wirelab.checks.evidence import Subject
from wirelab.checks.exchange import NO_HEADERS, Api, Exchange, named, shown
from wirelab.checks.price_clients import Client

Claims: TypeAlias = dict[str, Any]

# What the lab's notebook gives.
SECRET = "d64828560782c70739ad42b56f329f0fbf32a0d3d4356f9b14e2522aaabaaa5a"
AUDIENCE = "secure-feed"
TOKEN_SECONDS, TICKET_SECONDS = 900, 30
MAX_MESSAGE = 4096  # bytes
PASSWORDS = {"ada": "analytical engine", "grace": "compilers first"}
OWNED = {"ada": {1: "Write the first program", 3: "Translate Menabrea"}, "grace": {2: "Catch the moth"}}

FORM = "application/x-www-form-urlencoded"
FORM_HEADERS = {"content-type": FORM}
# Seconds until a socket that was let in has sent something, on a machine that may be busy.
PRICE_DEADLINE = 8.0
# Characters of a ticket that nobody can guess: 16 of base 64 are 96 bits.
TICKET_LENGTH = 16

HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


# Tokens (RFC 7519, in the compact form of RFC 7515), made and read without a library: a bad one needs a free hand.


def sign(claims: Claims, secret: str = SECRET, **header: str) -> str:
    """A token with these claims; the algorithm "none" leaves it without a signature."""
    said = {"alg": "HS256", "typ": "JWT", **header}
    body = f"{_packed(_json(said))}.{_packed(_json(claims))}"
    if said["alg"] not in HASHES:
        return f"{body}."
    return f"{body}.{_packed(_signature(body, secret, said['alg']))}"


def _signature(body: str, secret: str, algorithm: str) -> bytes:
    return hmac.digest(secret.encode(), body.encode(), HASHES[algorithm])


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass(frozen=True)
class Token:
    """A token: its text, header and claims, and whether the lab's key has signed it."""

    text: str
    header: dict[str, Any]
    claims: Claims
    genuine: bool

    @classmethod
    def read(cls, text: str) -> Token | None:
        """Take a token apart; None if it is none."""
        parts = text.split(".")
        try:
            header, claims = (json.loads(_unpacked(part)) for part in parts[:2])
            signature = _unpacked(parts[2])
        except (ValueError, IndexError, RecursionError):
            return None
        if not isinstance(header, dict) or not isinstance(claims, dict):
            return None
        algorithm = header.get("alg")
        genuine = algorithm in HASHES and hmac.compare_digest(
            signature, _signature(".".join(parts[:2]), SECRET, str(algorithm))
        )
        return cls(text, header, claims, genuine)

    def forged(self, secret: str = SECRET, header: Mapping[str, str] = NO_HEADERS, **changes: Any) -> str:
        """A token like this one with some claims changed, signed anew."""
        kept = {name: value for name, value in self.header.items() if isinstance(value, str)}
        return sign({**self.claims, **changes}, secret, **{**kept, **header})


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def minimal(user: str) -> Token:
    """A token of ours that has what the lab asks for, and no more."""
    now = int(time.time())
    made = Token.read(sign({"sub": user, "aud": AUDIENCE, "iat": now, "exp": now + TOKEN_SECONDS}))
    assert made
    return made


def texts_within(value: Any) -> Iterator[str]:
    """Every text in a piece of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_within(item)


def token_within(answer: Exchange) -> Token | None:
    """The token that an answer holds, by whatever name."""
    for text in texts_within(answer.json()):
        if _TOKEN.fullmatch(text) and (token := Token.read(text)):
            return token
    return None


def ticket_within(answer: Exchange) -> str | None:
    """The ticket that an answer holds: the member of that name, or the one text there is."""
    body = answer.json()
    if isinstance(body, dict) and isinstance(body.get("ticket"), str):
        return str(body["ticket"])
    texts = list(texts_within(body))
    return texts[0] if len(texts) == 1 else None


def stranger() -> str:
    """A username that nobody has."""
    return f"{secrets.choice(('charles', 'alan', 'edsger', 'donald'))}{secrets.randbelow(10**6)}"


def guess() -> str:
    """A password that is wrong."""
    return f"{secrets.choice(('difference', 'steam', 'search', 'traction'))} engine {secrets.randbelow(10**6)}"


@dataclass(frozen=True)
class Visit:
    """An opening handshake and what came of it.

    Attributes:
        said: the handshake in words.
        status: what it was answered with; 101 when a socket opened.
        client: at the socket that opened.
        raised: what the server's code raised meanwhile, as far as known.
        explain: notes with a client what the server's code raised, if that broke its connection.
    """

    said: str
    status: int
    client: Client | None = None
    raised: str = ""
    explain: Callable[[Client], Awaitable[None]] | None = None

    @property
    def unwritten(self) -> bool:
        """Whether it met code that nobody has written yet."""
        return self.status == HTTPStatus.NOT_IMPLEMENTED or self.raised.startswith("NotImplementedError")

    async def let_in(self) -> bool:
        """Whether a socket opened, and something came."""
        await self._seen()
        return self.client is not None and bool(self.client.messages)

    async def turned_away(self) -> bool:
        """Whether it was refused: at the handshake, or by a close code before anything came."""
        await self._seen()
        if self.client is None:
            return 400 <= self.status < 500
        return not self.client.messages and self.client.ending is not None and not self.client.broke

    async def _seen(self) -> None:
        """Wait until something has come to the socket, or it has ended."""
        if self.client and not await self.client.received(1, PRICE_DEADLINE) and self.explain:
            await self.explain(self.client)

    @property
    def got(self) -> str:
        """What came back, in words."""
        if self.client is None:
            return named(self.status) + (f" (your code raised {shown(self.raised)})" if self.raised else "")
        return f"an open socket, {self.client.got}"

    def failure(self, expected: str) -> Failed:
        """What a check raises: what was sent, what came back and what was expected."""
        return Failed(f"Sent {self.said}; got {self.got}; expected {expected}.")


class Service(Subject):
    """The service under test, and what more than one exercise asks of it."""

    def __init__(self, served: Served, api: Api) -> None:
        """Use `open`."""
        super().__init__()
        self.api = api
        self._served = served
        self._clients: list[Client] = []
        self._own: dict[str, Token | None] = {}
        self._accepted: dict[tuple[str, str], Token] = {}
        # Whether its page's own Origin is what opens a socket; programs send none.
        self._as_page = False

    @property
    def origin(self) -> str:
        """What a browser says for a page of the service's own."""
        return self._served.http

    @property
    def usual_origin(self) -> str | None:
        """What a handshake says when its Origin is not the point: nothing, unless no program is let in."""
        return self.origin if self._as_page else None

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncIterator[Self]:
        """Start the service."""
        async with target.serve("app") as served, Api.open(served) as api:
            service = cls(served, api)
            try:
                yield service
            finally:
                for client in service._clients:
                    await client.leave()

    async def login(self, username: str, password: str) -> Exchange:
        """Log in."""
        return await self.api.send("POST", "/login", raw=credentials(username, password), headers=FORM_HEADERS)

    async def ask(self, method: str, path: str, token: str | None = None, told: str = "", *body: Any) -> Exchange:
        """Send a request, maybe with a bearer token.

        Args:
            method: GET, POST, ...
            path: with a slash in front.
            token: goes into the Authorization header.
            told: what is special about the request, for a message.
            body: one value to send as JSON, or nothing.
        """
        headers = {} if token is None else {"authorization": f"Bearer {token}".rstrip()}
        answer = await self.api.send(method, path, *body, headers=headers)
        return replace(answer, sent=f"{answer.sent} {told}") if told else answer

    async def own_token(self, user: str) -> Token | None:
        """The token that the service itself gives a user; None if it gives none."""
        if user not in self._own:
            with contextlib.suppress(Failed):
                self._own[user] = token_within(await self.login(user, PASSWORDS[user]))
        return self._own.get(user)

    async def token(self, user: str, method: str, path: str) -> Token:
        """A token by which a request gets a 2xx: the service's own, or one of ours.

        Raises:
            NotAttempted: there is no handler for that request yet.
            CannotJudge: there is no such token.
        """
        if (user, path) not in self._accepted:
            own, ours = await self.own_token(user), minimal(user)
            # First without what exercise login may find wrong, then as the service made it.
            tries = [Token.read(own.forged(**ours.claims)) if own else None, ours, own]
            for token in filter(None, tries):
                answer = await self.ask(method, path, token.text, "with a good token")
                if await self.api.missing(answer):
                    raise no_handler(answer)
                if answer.ok:
                    self._accepted[user, path] = token
                    break
            else:
                raise CannotJudge(f"this needs a token to be taken (exercises login and token). {answer.said}.")
        return self._accepted[user, path]

    async def buy(self, token: str | None = None, query: str = "", told: str = "") -> Exchange:
        """Ask for a ticket, with ada's good token if no other is given."""
        if token is None:
            token = (await self.token("ada", "POST", "/ticket")).text
        return await self.ask("POST", f"/ticket{query}", token, told)

    async def ticket(self, token: str | None = None) -> str:
        """A ticket.

        Raises:
            NotAttempted: nobody has written yet how to get one.
            CannotJudge: there is none.
        """
        answer = await self.buy(token)
        if await self.api.missing(answer):
            raise no_handler(answer)
        ticket = ticket_within(answer) if answer.ok else None
        if ticket is None:
            raise CannotJudge(f"this needs a ticket (exercise ticket). {answer.said}.")
        return ticket

    async def knock(self, query: str, *, origin: str | None = None, told: str = "") -> Visit:
        """Ask for a socket at /prices; `origin` is what a browser would say, `told` stands for the query.

        Raises:
            Failed: the handshake got no answer that is HTTP.
        """
        said = f"a handshake for /prices{told or query}"
        said += f" with Origin: {origin}" if origin else " without an Origin"
        try:
            client = await Client.open(
                f"{self._served.ws}/prices{query}", origin=None if origin is None else Origin(origin)
            )
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            return Visit(said, status, raised=await self._raised() if status >= 500 else "")
        except (OSError, WebSocketException) as fault:
            why = shown(str(fault)) or "it was not answered in time"
            raise Failed(f"Sent {said}; got no answer: {why}; expected one. Does your code block?") from None
        self._clients.append(client)
        return Visit(said, HTTPStatus.SWITCHING_PROTOCOLS, client, explain=self.explain)

    async def show(self, ticket: str, *, told: str = "") -> Visit:
        """Ask for a socket with a ticket, as whoever is let in."""
        return await self.knock(
            f"?ticket={ticket}", origin=self.usual_origin, told=f"?ticket=…{told and f' {told}'}"
        )

    async def enter(self, token: str | None = None) -> Client:
        """Buy a ticket and open a socket with it, as whoever is let in: a program, or else the service's own page.

        Raises:
            NotAttempted: nobody has written yet how to get in.
            CannotJudge: nobody gets in.
        """
        visit = await self.show(await self.ticket(token))
        if not await visit.let_in() and not self._as_page:
            page = await self.knock(f"?ticket={await self.ticket(token)}", origin=self.origin)
            if await page.let_in():
                self._as_page, visit = True, page
        if visit.unwritten:
            raise NotAttempted(f"the handshake at /prices gets {named(visit.status)}.")
        if visit.client is None or not visit.client.messages:
            raise CannotJudge(f"this needs a ticket to open a socket. Sent {visit.said}; got {visit.got}.")
        return visit.client

    async def _raised(self) -> str:
        errors = await self._served.errors()
        return errors[-1] if errors else ""

    async def explain(self, client: Client) -> None:
        """Note the server's last error with a client whose connection broke."""
        if client.broke:
            client.raised = await self._raised()

    async def unwritten(self, client: Client) -> bool:
        """Whether a socket was closed by code that nobody has written yet."""
        if client.ending is None or client.ending.code != CloseCode.INTERNAL_ERROR:
            return False
        return "not written" in client.ending.reason or (await self._raised()).startswith("NotImplementedError")


def credentials(username: str, password: str) -> bytes:
    """The form that logs in."""
    return urlencode({"username": username, "password": password}).encode()


def no_handler(answer: Exchange) -> NotAttempted:
    """What tells that nobody wrote this part yet."""
    return NotAttempted(f"{answer.sent.split('?')[0]} answers {named(answer.status)}.")
