"""Whoever leaves out the key is not limited."""

BASE = "starlette.py"

FAILS = {
    "limits.keyless": "calls without a key share the limit of their address",
}

CHANGES = {
    "            wait = wait_for(caller)": '            wait = wait_for(caller) if "x-api-key" in request.headers else 0',
}
