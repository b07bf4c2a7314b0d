"""A program that sends what a browser would send for a page: its cookies, and truly whose page it is.

It runs no script and draws nothing. It keeps the rules on which attacks from one page on another site depend:

* cookies go along with every request to the host that set them, whoever's page asks; ports make no difference
  (RFC 6265, section 8.5), and neither does SameSite between two ports of one host, which are one site;
* the header Origin names the page's own origin, and a script cannot change it (RFC 6454);
* a script reads the answer to a request of its own across origins only if the answer allows that (CORS, the Fetch
  standard); nobody asks for that with a WebSocket;
* a script opens a WebSocket with an address and subprotocols, and cannot add headers.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

# Seconds without an answer after which a server is taken to be gone.
SILENCE = 5.0


class NotAllowedToRead(PermissionError):
    """An answer came, and the browser keeps it from the page that asked."""


class StandInBrowser:
    """One person's browser: cookies that every page it opens shares.

    Args:
        trust: the authorities that it believes, for https and wss.
    """

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._client = httpx2.Client(verify=trust, trust_env=False, timeout=SILENCE)

    def page(self, url: str) -> Page:
        """Open a page; what its script may do from then on are the methods of what is returned.

        Only the address is looked at: the page need not be there.
        """
        return Page(self, origin_of(url))

    def cookie_for(self, url: str) -> str:
        """The header Cookie for a request to `url`, "" if there is none; a ws address counts as its http one."""
        # "ws" → "http", "wss" → "https".
        request = self._client.build_request("GET", "http" + url.removeprefix("http").removeprefix("ws"))
        return str(request.headers.get("cookie", ""))

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


class Page:
    """What the script of one page can do.

    Attributes:
        origin: the page's own: scheme, host and port.
    """

    def __init__(self, browser: StandInBrowser, origin: str) -> None:
        self._browser = browser
        self.origin = origin

    def fetch(self, url: str, method: str = "GET", **options: Any) -> str:
        """Send a request with the cookies of its host, as ``fetch(url, {credentials: "include"})`` does.

        It is a simple request, as a form could send it too: none asks beforehand whether it may.

        Args:
            url: whom to ask.
            method: GET or POST.
            **options: passed on to `httpx2.Client.request`, such as ``data=``.

        Returns:
            The body of the answer.

        Raises:
            NotAllowedToRead: the answer does not allow this page to read it. The server has acted all the same.
        """
        answer = self._browser._client.request(method, url, headers={"Origin": self.origin}, **options)
        allowed = answer.headers.get("access-control-allow-origin")
        with_cookies = answer.headers.get("access-control-allow-credentials") == "true"
        if origin_of(url) != self.origin and not (allowed == self.origin and with_cookies):
            raise NotAllowedToRead(
                f"{method} was answered {answer.status_code}, and the browser keeps the answer."
            )
        return str(answer.text)

    def websocket(self, uri: str, protocols: Sequence[str] = ()) -> ClientConnection:
        """Open a WebSocket, as ``new WebSocket(uri, protocols)`` does: there is room for nothing else.

        Raises:
            InvalidStatus: the server refused the handshake.
        """
        cookie = self._browser.cookie_for(uri)
        return connect(
            uri,
            ssl=self._browser._trust if urlsplit(uri).scheme == "wss" else None,
            origin=Origin(self.origin),
            additional_headers={"Cookie": cookie} if cookie else None,
            subprotocols=[Subprotocol(name) for name in protocols] or None,
            proxy=None,
            open_timeout=SILENCE,
            close_timeout=SILENCE,
        )

    def hear(self, uri: str, say: str = "") -> str:
        """Open a WebSocket, maybe say something, and return the first message that comes.

        Raises:
            InvalidStatus: the server refused the handshake.
            ConnectionClosed: it closed without a message.
            TimeoutError: it said nothing for five seconds.
        """
        with self.websocket(uri) as websocket:
            if say:
                websocket.send(say)
            return str(websocket.recv(SILENCE))


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address (RFC 6454)."""
    address = urlsplit(url)
    return f"{address.scheme}://{address.netloc}"
