"""What became of an attempt, in a few words: an answer, or who refused it and how."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .stand_in_browser import NotAllowedToRead


def outcome_of(attempt: Callable[[], object]) -> str:
    """Make an attempt, and return its result as text, or in words how it was refused.

    A status of a refused handshake and the code of a closed WebSocket are told; a server whose certificate is not
    good is "not believed". Whatever else goes wrong is raised.
    """
    try:
        return str(attempt())
    except InvalidStatus as refusal:
        return f"refused with {refusal.response.status_code}"
    except ConnectionClosed as end:
        return f"closed with {end.rcvd.code:d}" if end.rcvd else "cut off"
    except NotAllowedToRead:
        return "kept back by the browser"
    except httpx2.ConnectError as failure:
        if "CERTIFICATE_VERIFY_FAILED" not in str(failure):
            raise
        return "not believed"
