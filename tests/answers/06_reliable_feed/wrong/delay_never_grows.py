"""Waits equally long, more or less, after each failure."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "min(MAX_DELAY, FIRST_DELAY * 2 ** (failures - 1))": "MAX_DELAY / 4",
}
FAILS = {
    "reconnect.delays": "expected them to grow",
    "reconnect.anew": "the delays do not grow",
}
