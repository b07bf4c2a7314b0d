"""The password is checked on the event loop: while it is hashed, nobody else is served."""

BASE = "starlette_functions.py"
CHANGES = {
    "await asyncio.to_thread(hasher.verify, password, users.get(username, nobody))": "hasher.verify(password, users.get(username, nobody))",
}
FAILS = {
    "login.crowd": "% of the time that all these logins took",
}
