"""Remembers every failure for ever."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "1 if time.monotonic() - began >= GOOD_SPELL else failures + 1": "failures + 1",
}
FAILS = {
    "reconnect.anew": "expected it to begin anew",
}
