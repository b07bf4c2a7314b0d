"""Tickets are numbers, one after the other."""

BASE = "starlette_functions.py"
CHANGES = {
    "    ticket = secrets.token_urlsafe()\n": "    ticket = str(1000 + len(tickets))\n    while ticket in tickets:\n        ticket = str(int(ticket) + 1)\n",
}
FAILS = {
    "ticket.needed": "nobody can guess",
}
