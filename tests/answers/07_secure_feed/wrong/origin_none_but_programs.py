"""Every Origin is refused, the server's own too."""

BASE = "starlette_functions.py"
CHANGES = {
    'return origin is None or origin == "http://" + websocket.headers["host"]': "return origin is None",
}
FAILS = {
    "origin.own": "403 Forbidden",
}
