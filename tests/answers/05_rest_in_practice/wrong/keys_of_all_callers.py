"""Another caller's key gives another caller's todo."""

BASE = "starlette.py"

FAILS = {
    "retry.scope": "because it was another caller who used that Idempotency-Key",
}

CHANGES = {
    '    name = (request.headers.get("x-api-key"), key)': "    name = key",
}
