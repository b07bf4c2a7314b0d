"""Only texts were thought of: bytes crash."""

BASE = "starlette_functions.py"
CHANGES = {
    'if len(message.get("text") or message.get("bytes") or "") > MAX_MESSAGE:': 'if len(message["text"]) > MAX_MESSAGE:',
}
FAILS = {
    "expiry.message": "binary message of 4096 bytes",
}
