"""A ticket is good for a second, whatever it says."""

BASE = "starlette_functions.py"

FAILS = {
    "ticket.time": "because a ticket is good for 30 seconds",
}

CHANGES = {
    "tickets[ticket] = claims, time.monotonic() + seconds": "tickets[ticket] = claims, time.monotonic() + min(seconds, 1)",
}
