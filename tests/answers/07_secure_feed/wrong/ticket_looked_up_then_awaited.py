"""Between looking a ticket up and crossing it out the handler waits, as for a database."""

BASE = "starlette_functions.py"
CHANGES = {
    "    claims, good_until = tickets.pop(ticket, (None, 0))\n": "    claims, good_until = tickets.get(ticket, (None, 0))\n    await asyncio.sleep(0.1)\n    tickets.pop(ticket, None)\n",
}
FAILS = {
    "ticket.once": "handshakes with one ticket at once",
}
