"""One HTTP request and its answer, and the words that a message says them with."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import Any, NoReturn, Self
from urllib.parse import urljoin, urlsplit

import h11

from wirelab.checks import Failed, Served
from wirelab.checks.http_client import Client, TooLong
from wirelab.checks.transcript import current

# Seconds for one answer, on a machine that may be busy; and once a server was found hanging.
ANSWER_DEADLINE = 8.0
IMPATIENT_DEADLINE = 2.0
# After so many requests in a row without an answer no more are sent.
HOPELESS = 3
# Bytes of the longest answer that is read.
ANSWER_LIMIT = 1_000_000
# Characters of a body that a message shows.
SHOWN = 160
# Seconds to wait after a 429 that does not say how long, and at most.
RETRY_AFTER, LONGEST_RETRY_AFTER = 0.5, 5.0
RETRIES = 10

NOT_WRITTEN = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
NO_HEADERS: Mapping[str, str] = {}
_NO_BODY = object()


@dataclass(frozen=True)
class Exchange:
    """A request that got an answer.

    Attributes:
        sent: the request in words, ``POST /todos {"task": "…"}``.
        status: the answer's status code.
        headers: the answer's header fields; names are lower case.
        body: the answer's body, not decoded.
        raised: what the server's code raised meanwhile, as far as it is known.
    """

    sent: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    raised: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is any 2xx."""
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Whether it is any 4xx."""
        return 400 <= self.status < 500

    @property
    def got(self) -> str:
        """The answer in words."""
        status, body = named(self.status), shown(self.body)
        raised = f" (your code raised {self.raised})" if self.raised else ""
        if body and body in status:
            # A server's own error page, which says nothing new.
            return f"{status}{raised}"
        return f"{status} with {body}{raised}" if body else f"{status} without a body{raised}"

    @property
    def said(self) -> str:
        """The exchange in words, without an end."""
        return f"Sent {self.sent}; got {self.got}"

    def fail(self, expected: str) -> NoReturn:
        """Fail the check with what was sent, what came back and what was expected."""
        raise Failed(f"{self.said}; expected {expected}.")

    def json(self) -> Any:
        """The body as JSON, or None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def named(status: int) -> str:
    """A status code with its name, ``404 Not Found``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def shown(text: bytes | str) -> str:
    """A piece of a message as a person may see it: short, and without control characters."""
    if isinstance(text, bytes):
        text = text[: 4 * SHOWN].decode(errors="replace")
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def as_json(value: Any) -> str:
    """A value as a message shows it."""
    return shown(json.dumps(value, ensure_ascii=False))


def path_on(location: str, address: str, base: str) -> str | None:
    """The path and query of a relative or absolute reference, or None if it leads to another server.

    Args:
        location: the reference, as in a Location or a Link.
        address: host and port of this server.
        base: the path that it came from.
    """
    try:
        there = urlsplit(urljoin(f"http://{address}{base}", location))
        ours = urlsplit(f"http://{address}")
        if there.hostname not in (ours.hostname, "localhost") or there.port != ours.port:
            return None
    except ValueError:
        return None
    return there.path + (f"?{there.query}" if there.query else "")


def refuse_body(answer: Exchange, rest: bytes) -> None:
    """Look at what `Api.last_on_connection` received behind the header of an answer that has no body.

    Raises:
        Failed: there is a body, or the server broke off because it was handed one.
    """
    if rest and not rest.startswith(b"HTTP/1."):
        raise Failed(
            f"{answer.said}, but {shown(rest)} behind its header; expected no body, because {answer.status} has "
            "none."
        )
    if not rest and "close" not in answer.headers.get("connection", "").lower():
        raise Failed(
            f"Sent {answer.sent}; got {named(answer.status)}, and then the server dropped the connection; "
            f"expected no body, because {answer.status} has none: a server that is handed one cannot go on."
        )


class Api:
    """A client of the server under test: every wait has a deadline, and every fault words.

    ``sent`` in a message is what this client sent; a 429 is waited out, except by `ask`.
    """

    def __init__(self, served: Served, client: Client) -> None:
        """Use `open`."""
        self._served = served
        self._client = client
        self._errors_seen = 0
        self._deadline = ANSWER_DEADLINE
        self._hung = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, served: Served) -> AsyncIterator[Self]:
        """A client for one exercise."""
        address = urlsplit(served.http)
        assert address.hostname
        assert address.port
        async with Client(address.hostname, address.port, ANSWER_LIMIT) as client:
            yield cls(served, client)

    @property
    def address(self) -> str:
        """Host and port."""
        return urlsplit(self._served.http).netloc

    async def send(
        self,
        method: str,
        path: str,
        body: Any = _NO_BODY,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Exchange:
        """Send one request and read its answer; again after a 429.

        Args:
            method: GET, POST, ...
            path: with a slash in front.
            body: a value to send as JSON.
            raw: in place of `body`, bytes that claim to be JSON.
            headers: names in lower case; ``content-type`` makes another claim.

        Raises:
            Failed: no answer within the deadline, no HTTP, or a broken connection.
        """
        for _ in range(RETRIES):
            answer = await self.ask(method, path, body, raw=raw, headers=headers)
            if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
                break
            await asyncio.sleep(_retry_after(answer))
        return answer

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = _NO_BODY,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Exchange:
        """Send one request and read its answer, a 429 like any other; otherwise as `send`."""
        content = raw if raw is not None or body is _NO_BODY else json.dumps(body, ensure_ascii=False).encode()
        sent = f"{method} {path}" + (f" {shown(content)}" if content is not None else "")
        return await self._with_error(await self._send_once(method, path, content, sent, headers))

    async def _send_once(
        self, method: str, path: str, content: bytes | None, sent: str, more: Mapping[str, str]
    ) -> Exchange:
        headers = {"content-type": "application/json", **more} if content is not None else dict(more)
        if method == "DELETE":
            # A body behind a 204 would garble the next answer on the same connection, and cost another exercise.
            headers["connection"] = "close"
        async with self._patience(sent):
            try:
                answer = await self._client.ask(method, path, headers, content)
            except TooLong:
                text = f"Sent {sent}; got more than {ANSWER_LIMIT:,} bytes; expected a short answer."
                raise Failed(text) from None
        return Exchange(sent, *answer)

    @asynccontextmanager
    async def _patience(self, sent: str, times: float = 1.0) -> AsyncIterator[None]:
        if self._hung >= HOPELESS:
            raise Failed(f"Did not send {sent} any more: the server has stopped answering; expected an answer.")
        try:
            async with asyncio.timeout(times * self._deadline):
                yield
            self._hung = 0
        except TimeoutError:
            waited, self._deadline = times * self._deadline, IMPATIENT_DEADLINE
            self._hung += 1
            raise Failed(
                f"Sent {sent}; got no answer within {waited:g} seconds; expected one at once. The handler hangs: "
                "does it wait for something that never comes, or loop for ever?"
            ) from None
        except (h11.ProtocolError, OSError) as fault:
            raise Failed(f"Sent {sent}; got {await self._why_broken(fault)}; expected an answer.") from None

    async def _why_broken(self, fault: Exception) -> str:
        errors = await self._new_errors()
        if errors:
            return f"no whole answer: your code raised {errors[-1]}"
        if isinstance(fault, ConnectionRefusedError):
            return "no connection: the server's process has ended (does your code end it?)"
        if isinstance(fault, h11.RemoteProtocolError):
            return f"no whole answer: {shown(str(fault))}"
        return "no answer: the connection broke, as it does when the server's process ends"

    async def _with_error(self, answer: Exchange) -> Exchange:
        if answer.status < 500 or answer.status == HTTPStatus.NOT_IMPLEMENTED:
            return answer
        errors = await self._new_errors()
        raised = shown(errors[-1]) if errors else ""
        return Exchange(answer.sent, answer.status, answer.headers, answer.body, raised)

    async def _new_errors(self) -> list[str]:
        errors = await self._served.errors()
        new, self._errors_seen = errors[self._errors_seen :], len(errors)
        return new

    async def missing(self, answer: Exchange) -> bool:
        """Whether nobody has written a handler for this request yet.

        501 is how a lab's stub answers, 405 how a path without that method does. A 404 counts only if the server
        answers just the same on a path that cannot exist: a handler may have its own 404.
        """
        if answer.status == HTTPStatus.NOT_FOUND:
            method = answer.sent.partition(" ")[0]
            nowhere = await self.send(method, f"/{secrets.token_hex(8)}", {} if " {" in answer.sent else _NO_BODY)
            return nowhere.status == HTTPStatus.NOT_FOUND and nowhere.body == answer.body
        return answer.status in NOT_WRITTEN

    async def last_on_connection(
        self, method: str, path: str, headers: Mapping[str, str] = NO_HEADERS
    ) -> tuple[Exchange, bytes]:
        """Send a request without a body and, behind it, a GET of the same path that closes the connection.

        Args:
            method: of the first request.
            path: with a slash in front.
            headers: of the first request; there are no others than these and Host.

        Returns:
            The answer, and all bytes that came after its header.
        """
        sent, host = f"{method} {path}", f"Host: {self.address}\r\n"
        first = f"{sent} HTTP/1.1\r\n{host}{_lines(headers)}\r\n"
        request = f"{first}GET {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode()
        for _ in range(RETRIES):
            async with self._patience(sent):
                reader, writer = await self._connect()
                writer.write(request)
                received = await _to_the_end(reader)
                writer.close()
            answer, rest = _parsed(received, sent), received.partition(b"\r\n\r\n")[2]
            if transcript := current():
                transcript.request(method, path, headers, None)
                transcript.answer(answer.status, answer.headers, rest)
            if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
                break
            await asyncio.sleep(_retry_after(answer))
        return await self._with_error(answer), rest

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.address.partition(":")
        return await asyncio.open_connection(host, int(port))

    async def at_once(
        self,
        method: str,
        path: str,
        bodies: list[Any],
        content_type: str = "application/json",
        *,
        patience: float = 1.0,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> list[Exchange]:
        """Send many requests in the same instant: each has its own connection, opened beforehand.

        Args:
            method: of every request.
            path: with a slash in front.
            bodies: a value to send as JSON for each, or bytes as they are.
            content_type: what the bodies claim to be.
            patience: how many times the deadline of one answer is the deadline of all.
            headers: more header fields.
        """
        sent = f"{method} {path} {len(bodies)} times at once"
        async with self._patience(sent, patience):
            connections = [await self._connect() for _ in bodies]
            contents = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
            for (_, writer), content in zip(connections, contents, strict=True):
                head = f"{method} {path} HTTP/1.1\r\nHost: {self.address}\r\nConnection: close\r\n"
                head += f"Content-Type: {content_type}\r\nContent-Length: {len(content)}\r\n{_lines(headers)}\r\n"
                writer.write(head.encode() + content)
            received = await asyncio.gather(*(_to_the_end(reader) for reader, _ in connections))
            for _, writer in connections:
                writer.close()
        answers = []
        for raw, content in zip(received, contents, strict=True):
            answer = _parsed(raw, f"{method} {path} {shown(content)} beside {len(bodies) - 1} others")
            if transcript := current():
                transcript.request(method, path, headers, content)
                transcript.answer(answer.status, answer.headers, answer.body)
            if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                again = {**headers, "content-type": content_type}
                answer = await self.send(method, path, raw=content, headers=again)
            answers.append(answer)
        return answers


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _parsed(raw: bytes, sent: str) -> Exchange:
    """Read an answer that was received to its end.

    Raises:
        Failed: it is no HTTP.
    """
    try:
        response = HTTPResponse(_Received(raw))  # type: ignore[arg-type]
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Exchange(sent, response.status, headers, response.read())
    except (HTTPException, OSError, ValueError):
        raise Failed(f"Sent {sent}; got {shown(raw) or 'nothing'}; expected an answer.") from None


class _Received:
    """As much of a socket as `http.client` needs to parse what was received."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self._raw)


async def _to_the_end(reader: asyncio.StreamReader) -> bytes:
    raw = b""
    try:
        while part := await reader.read(65_536):
            raw += part
            if len(raw) > ANSWER_LIMIT:
                break
    except ConnectionError:
        pass
    return raw


def _retry_after(answer: Exchange) -> float:
    try:
        return min(max(int(answer.headers["retry-after"]), 0.05), LONGEST_RETRY_AFTER)
    except (KeyError, ValueError):
        return RETRY_AFTER
