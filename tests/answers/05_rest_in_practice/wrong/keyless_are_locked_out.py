"""Whoever leaves out the key is refused from the first call on."""

BASE = "starlette.py"

FAILS = {
    "limits.keyless": "got 429 after 0 requests",
}

CHANGES = {
    "            wait = wait_for(caller)": '            wait = wait_for(caller) if "x-api-key" in request.headers else 1',
}
