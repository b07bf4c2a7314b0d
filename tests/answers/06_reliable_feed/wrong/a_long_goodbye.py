"""Notices the freeze, and then waits ten seconds for the other side to agree."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "ping_timeout=HEARTBEAT, close_timeout=HEARTBEAT": "ping_timeout=HEARTBEAT",
}
FAILS = {
    "reconnect.returns": "froze",
    "resume.once": "this needs a client that comes back",
}
