"""Wirelab: learn REST APIs and WebSockets by building, running and measuring them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .link import Link
    from .serving import ServeError, Server, serve, stop_all

__all__ = ["Link", "ServeError", "Server", "serve", "stop_all"]


def __getattr__(name: str) -> Any:
    # Imported when it is first asked for: `wirelab doctor` has to run where uvicorn or websockets do not.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".link" if name == "Link" else ".serving", __name__), name)
