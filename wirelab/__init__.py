"""Wirelab: learn REST APIs and WebSockets by building, running and measuring them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .serving import ServeError, Server, serve, stop_all

__all__ = ["ServeError", "Server", "serve", "stop_all"]


def __getattr__(name: str) -> Any:
    # Imported when it is first asked for: `wirelab doctor` has to run where uvicorn or websockets do not.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import serving

    return getattr(serving, name)
