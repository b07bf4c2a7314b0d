"""Pings too seldom and waits too long: a frozen feed goes unnoticed for longer than the lab allows."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "ping_interval=HEARTBEAT, ping_timeout=HEARTBEAT, close_timeout=HEARTBEAT": (
        "ping_interval=2.5, ping_timeout=2.5, close_timeout=2.5"
    ),
}
FAILS = {
    "reconnect.returns": "a freeze has to be noticed within 4 s",
}
