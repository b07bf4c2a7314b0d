"""A user that nobody is gets a 404, as a todo would."""

BASE = "starlette_functions.py"
CHANGES = {
    "    if not fits or username not in users:\n": '    if username not in users:\n        raise HTTPException(404, "No such user.")\n    if not fits:\n',
}
FAILS = {
    "login.refused": "got 404 Not Found",
}
