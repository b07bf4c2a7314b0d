"""The answer says until when a ticket is good, and nobody looks."""

BASE = "starlette_functions.py"
CHANGES = {
    "return claims if time.monotonic() < good_until else None": "return claims",
}
FAILS = {
    "ticket.time": "because the ticket's time is over",
}
