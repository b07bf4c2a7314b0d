"""Sends pings, and never looks for an answer."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "await (await websocket.ping())": "await websocket.ping()",
}
FAILS = {
    "heartbeat.frozen": "pings and no end",
}
