"""Where a server of this machine is, from what its user calls it by."""

from __future__ import annotations

from urllib.parse import urlsplit

LOOPBACK = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "::1"}


def address_of(server: str | int) -> tuple[str, int]:
    """Host and port of a server on this machine, given by its base URL or its port.

    Raises:
        ValueError, TypeError: it is none.
    """
    if isinstance(server, int) and not isinstance(server, bool):
        if not 0 < server < 65_536:
            raise ValueError(f"{server} is no port: take a whole number from 1 to 65535.")
        return "127.0.0.1", server
    if not isinstance(server, str):
        raise TypeError(f"A link leads to a server, its URL or its port, not to {server!r}.")
    url = urlsplit(server)
    try:
        host, port = LOOPBACK[url.hostname or ""], url.port
    except (KeyError, ValueError):
        port = None
    if port is None or url.scheme not in ("http", "https", "ws", "wss") or url.path.strip("/"):
        raise ValueError(
            f"{server!r} is no base URL, with a port, of a server on this machine, such as 'http://127.0.0.1:8000'."
        )
    return host, port
