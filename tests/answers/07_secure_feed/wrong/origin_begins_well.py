"""Looks only how the Origin begins."""

BASE = "starlette_functions.py"
CHANGES = {
    'origin == "http://" + websocket.headers["host"]': 'origin.startswith("http://" + websocket.url.hostname)',
}
FAILS = {
    "origin.foreign": "an open socket",
}
