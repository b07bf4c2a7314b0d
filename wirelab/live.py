"""Live views in the page: the browser talks to the notebook's own servers, and the kernel stays free."""

from __future__ import annotations

import re
from numbers import Real
from pathlib import Path

import anywidget
import requests
import traitlets
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from .serving import Server, base_url

FASTEST_POLL = 0.1
SLOWEST_POLL = 5.0
LOOPBACK_PAGE = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")

_STATIC = Path(__file__).parent / "static"


def _script(name: str) -> str:
    """A live view's script, with what all of them need to reach a server before it: they are one module."""
    return (_STATIC / "reach.js").read_text("utf-8") + (_STATIC / name).read_text("utf-8")


class Race(anywidget.AnyWidget):
    """Polling against push, side by side in the page. Made by `race`.

    Attributes:
        every: seconds from one poll to the next; moves with the slider in the page.
    """

    _esm = _script("race.js")
    _css = _STATIC / "race.css"
    _base = traitlets.Unicode().tag(sync=True)
    _latest = traitlets.Unicode().tag(sync=True)
    _stream = traitlets.Unicode().tag(sync=True)
    _limits = traitlets.List([FASTEST_POLL, SLOWEST_POLL]).tag(sync=True)
    every = traitlets.Float(1.0, min=FASTEST_POLL, max=SLOWEST_POLL).tag(sync=True)

    def __repr__(self) -> str:
        # Compared by nbval, and all that a page without widgets shows: it must not vary between runs.
        return "Polling against push, live: run this cell in JupyterLab to see them race."


def race(server: Server | str, every: float = 1.0, *, latest: str = "/latest", stream: str = "/stream") -> Race:
    """Show polling and push side by side, both run by the browser against a server of this notebook.

    The left lane asks for `latest` again and again (HTTP), the right lane listens to `stream` (WebSocket). Both
    carry updates ``{"seq", "value", "emitted_at"}``, with `seq` counting up by one and `emitted_at` in seconds on
    the server's own clock. `latest` may answer 204 while there is none.

    That clock is not the browser's. The page takes the fastest arrival it has seen as having travelled for half
    of the shortest round trip it has measured, and reckons the ages in both lanes from there: they are wrong by
    at most that half, which it shows (on one machine about a millisecond).

    The page asks the server directly when JupyterLab itself comes from a loopback address, otherwise, or when
    that fails, through jupyter-server-proxy. It stops when its output is closed, hidden or scrolled away.

    Args:
        server: a running feed, such as ``serve("wirelab.apps.feed:app")``, or its base URL.
        every: seconds from one poll to the next, 0.1 to 5; a slider in the page changes it.
        latest: path of the newest update.
        stream: path of the WebSocket that sends each update.

    Raises:
        ValueError: the server has stopped, is no such feed, or does not let pages of JupyterLab read its answers;
            or `every` is out of range.
    """
    if not (isinstance(every, Real) and FASTEST_POLL <= every <= SLOWEST_POLL):
        raise ValueError(f"every must be between {FASTEST_POLL} and {SLOWEST_POLL} seconds, not {every!r}.")
    url = _running(server, "race")
    _check_feed(url, latest)
    return Race(_base=url, _latest=latest, _stream=stream, every=every)


class Page(anywidget.AnyWidget):
    """A page of a server, in the notebook. Made by `page`."""

    _esm = _script("page.js")
    _css = _STATIC / "page.css"
    _base = traitlets.Unicode().tag(sync=True)
    _path = traitlets.Unicode().tag(sync=True)
    _title = traitlets.Unicode().tag(sync=True)
    _height = traitlets.Int().tag(sync=True)

    def __repr__(self) -> str:
        return f"{self._title}, live: run this cell in JupyterLab to see it."


def page(server: Server | str, path: str = "/", *, title: str, height: int = 720) -> Page:
    """Show a page of a running server in the notebook, fetched and run by the browser.

    The browser finds the server as it does for `race`: directly, or through jupyter-server-proxy, behind which the
    page's own addresses have to be relative; and a sentence says so where neither leads there. A frame written by
    `IPython.display` would be taken out of a notebook that is opened again.

    Args:
        server: what serves the page, or its base URL.
        path: where it is there.
        title: its name, for those who do not see it.
        height: of the frame, in pixels.

    Raises:
        ValueError: the server has stopped.
    """
    return Page(_base=_running(server, "page"), _path=path, _title=title, _height=height)


def allow_loopback_pages(app: ASGIApp) -> CORSMiddleware:
    """Wrap an ASGI application so that pages served from this machine, JupyterLab's for one, may read its answers.

    A browser lets no page read answers of another origin (scheme, host and port) unless they permit it (CORS, in
    the WHATWG Fetch standard). This permits ``localhost``, ``127.0.0.1`` and ``[::1]`` at any port, and nobody
    else. WebSockets are not covered: CORS knows nothing of them.
    """
    return CORSMiddleware(app, allow_origin_regex=LOOPBACK_PAGE.pattern, allow_methods=["*"], allow_headers=["*"])


def _running(server: Server | str, call: str) -> str:
    """Return the base URL of a server that runs, as far as that can be told.

    Raises:
        ValueError: it has stopped.
    """
    if isinstance(server, Server) and not server.running:
        raise ValueError(f"This server has stopped: start it again with serve(...), then call {call}.")
    return base_url(server)


def _check_feed(url: str, latest: str) -> None:
    """Find out here what a browser only calls "failed to fetch", whatever the reason.

    Raises:
        ValueError: the browser could not use this server as a feed.
    """
    page = "http://127.0.0.1:8888"
    try:
        with requests.Session() as session:
            session.trust_env = False  # A proxy set for the outside world would be asked for 127.0.0.1 too.
            answer = session.get(url + latest, headers={"Origin": page}, timeout=5)
    except requests.RequestException as exc:
        raise ValueError(f"The server does not answer GET {latest}: {exc}") from exc
    if not answer.ok:
        raise ValueError(f"The race needs a feed, but GET {latest} was answered {answer.status_code}.")
    if answer.headers.get("Access-Control-Allow-Origin") not in (page, "*"):
        raise ValueError(
            "The browser would keep this server's answers from JupyterLab's page: "
            "serve allow_loopback_pages(app) instead of app."
        )
