"""Whoever makes a todo says whose it is."""

BASE = "starlette_functions.py"
CHANGES = {
    '"owner": user, "task": body["task"]': '"owner": body.get("owner", user), "task": body["task"]',
}
FAILS = {
    "token.owner": "whatever the body says",
}
