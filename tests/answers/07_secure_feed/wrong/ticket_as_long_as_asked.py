"""A client may ask for an hour, and gets it."""

BASE = "starlette_functions.py"
CHANGES = {
    'seconds = min(float(request.query_params.get("seconds", TICKET_SECONDS)), TICKET_SECONDS)': 'seconds = float(request.query_params.get("seconds", TICKET_SECONDS))',
}
FAILS = {
    "ticket.time": "30 seconds at the most",
}
