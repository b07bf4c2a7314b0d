"""Does not note the number that a subscription begins with."""

BASE = "queue_for_each_client.py"
CHANGES = {
    '        before, seen[symbol] = seen.get(symbol), message["seq"]': "        before = seen.get(symbol)",
}
FAILS = {
    "resume.once": "before the first update",
}
