"""Writes "no status sent" as None, so that a null that was sent passes for it."""

BASE = "starlette_classes.py"
CHANGES = {
    'body.get("status", "Pending")': 'body.get("status") or "Pending"',
}
FAILS = {
    "create.invalid": "because the status is null",
    "replace.invalid": "because the status is null",
}
