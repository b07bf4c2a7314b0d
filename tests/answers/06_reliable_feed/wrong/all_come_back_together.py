"""Doubles the delay, the same for everybody."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "random.uniform(0, min(MAX_DELAY, FIRST_DELAY * 2 ** (failures - 1)))": "min(MAX_DELAY, FIRST_DELAY * 2 ** (failures - 1))",
}
FAILS = {
    "reconnect.delays": "drawn at random",
}
