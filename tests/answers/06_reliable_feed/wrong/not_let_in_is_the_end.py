"""Gives up when the server answers the handshake with an error."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "(OSError, TimeoutError, InvalidHandshake)": "(OSError, TimeoutError)",
}
FAILS = {
    "reconnect.delays": "answered with HTTP 503",
    "reconnect.anew": "tries again each time",
}
