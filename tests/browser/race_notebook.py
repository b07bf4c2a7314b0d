"""Write the notebook in which the tests of the race happen."""

from __future__ import annotations

import inspect
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from starlette.responses import JSONResponse


class Counted:
    """A feed that counts its polls and its open WebSockets, and tells them at /counts."""

    def __init__(self, app):
        self.app = app
        self.polls = 0
        self.open = 0

    async def __call__(self, scope, receive, send):
        if scope.get("path") == "/counts":
            answer = JSONResponse({"polls": self.polls, "open": self.open})
            await answer(scope, receive, send)
            return
        self.polls += scope.get("path") == "/latest"
        is_stream = scope["type"] == "websocket"
        self.open += is_stream
        try:
            await self.app(scope, receive, send)
        finally:
            self.open -= is_stream


SERVE = f"""\
from starlette.responses import JSONResponse
from wirelab import serve
from wirelab.apps.feed import create_app
from wirelab.live import allow_loopback_pages, race

{inspect.getsource(Counted)}
feed = serve(Counted(allow_loopback_pages(create_app(every=0.3))))
print(feed.http)
"""
RACE = "shown = race(feed)\nshown"
INTERVAL = "print(shown.every)"
STOP = "feed.stop()"


def write_notebook(path: Path, *cells: str) -> Path:
    """Write a notebook with one code cell for each of `cells`."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
    return path
