"""A ticket is looked up, and never crossed out."""

BASE = "starlette_functions.py"
CHANGES = {
    "tickets.pop(ticket, (None, 0))": "tickets.get(ticket, (None, 0))",
}
FAILS = {
    "ticket.once": "for the second time, while its first socket is open",
}
