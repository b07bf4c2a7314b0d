"""The notebook that shows a page of a server, and the cells of which it is made."""

from __future__ import annotations

from race_notebook import write_notebook

__all__ = ["PAGE", "SERVE", "STOP", "write_notebook"]

SERVE = """\
from wirelab import serve
from wirelab.apps.board import create_app
from wirelab.live import page

shared = serve(create_app(heartbeat=0.5), name="shared")
print(shared.http)
"""
PAGE = 'page(shared, title="The shared board")'
STOP = "shared.stop()"
