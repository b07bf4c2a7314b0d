"""Nobody's password is not hashed, so that name is answered at once."""

BASE = "starlette_functions.py"
CHANGES = {
    "    fits = await asyncio.to_thread(hasher.verify, password, users.get(username, nobody))\n": "    fits = username in users and await asyncio.to_thread(hasher.verify, password, users[username])\n",
}
FAILS = {
    "login.time": "an answer for the unknown user",
}
