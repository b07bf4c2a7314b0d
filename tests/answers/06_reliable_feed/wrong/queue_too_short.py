"""Drops healthy clients, because a few messages came at once."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "QUEUE = 32": "QUEUE = 10",
}
FAILS = {
    "slow.others": "16 updates at once to a reader who reads all the time",
}
