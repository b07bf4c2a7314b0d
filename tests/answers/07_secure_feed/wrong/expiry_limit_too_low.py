"""Messages of a thousand bytes are too long already."""

BASE = "starlette_functions.py"

FAILS = {
    "expiry.message": "it is no longer than MAX_MESSAGE",
}

CHANGES = {
    '        if len(message.get("text") or message.get("bytes") or "") > MAX_MESSAGE:': '        if len(message.get("text") or message.get("bytes") or "") > 1000:',
}
