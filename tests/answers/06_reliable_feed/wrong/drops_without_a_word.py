"""Cuts a slow client off without a close frame."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "in_background(close(websocket, TOO_SLOW))": "websocket.transport.abort()",
}
FAILS = {
    "slow.code": "no close code",
}
