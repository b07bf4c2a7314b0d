"""Sends all updates to all clients, and leaves it to them to drop what they did not want."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "for member in list(members[symbol]):": "for member in list(queues):",
}
FAILS = {
    "topics.only": "that were not asked for",
}
