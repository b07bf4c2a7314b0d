"""A message may be as long as the server takes it, which is 16 MB."""

BASE = "starlette_functions.py"
CHANGES = {
    '        if len(message.get("text") or message.get("bytes") or "") > MAX_MESSAGE:\n            return 1009\n': "",
}
FAILS = {
    "expiry.message": "as if nothing had been said",
}
