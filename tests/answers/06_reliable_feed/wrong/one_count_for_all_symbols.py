"""Counts all updates together, so that within a symbol there are holes."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
    numbers[symbol] += 1
""": """\
    numbers["all"] += 1
    numbers[symbol] = numbers["all"]
""",
}
FAILS = {
    "topics.seq": "each update of this symbol, whatever comes between, has one more",
}
