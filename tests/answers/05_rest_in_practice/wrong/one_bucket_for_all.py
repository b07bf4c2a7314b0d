"""One bucket for all callers together."""

BASE = "starlette.py"

FAILS = {
    "limits.neighbours": "it was another who flooded",
}

CHANGES = {
    '            caller = request.headers.get("x-api-key") or request.client.host': '            caller = "everybody"',
}
