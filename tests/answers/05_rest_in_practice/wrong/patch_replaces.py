"""PATCH puts what was sent in the place of the whole todo, as PUT does."""

BASE = "starlette.py"

FAILS = {
    "update.merge": "because a merge patch names what changes, and the rest stays",
}

CHANGES = {
    "checked(merge(todo, patch))": "checked(dict(patch))",
}
