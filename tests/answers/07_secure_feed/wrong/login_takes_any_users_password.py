"""Looks whether somebody has this password, not whether this user has it."""

BASE = "starlette_functions.py"
CHANGES = {
    "    fits = await asyncio.to_thread(hasher.verify, password, users.get(username, nobody))\n": "    stored = list(users.values()) if username in users else [nobody] * len(users)\n    fits = any([await asyncio.to_thread(hasher.verify, password, one) for one in stored])\n",
}
FAILS = {
    "login.refused": "got 200 OK",
}
