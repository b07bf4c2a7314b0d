"""The limit is twice what was asked for."""

BASE = "starlette_functions.py"

FAILS = {
    "expiry.message": "longer than MAX_MESSAGE",
}

CHANGES = {
    '        if len(message.get("text") or message.get("bytes") or "") > MAX_MESSAGE:': '        if len(message.get("text") or message.get("bytes") or "") > 2 * MAX_MESSAGE:',
}
