"""Somebody else's todo gets 403, which tells that it exists."""

BASE = "starlette_functions.py"
CHANGES = {
    '    if todo is None or todo["owner"] != user:\n': '    if todo is not None and todo["owner"] != user:\n        raise HTTPException(403, "This is not yours.")\n    if todo is None:\n',
}
FAILS = {
    "token.owner": "got 403 Forbidden",
}
