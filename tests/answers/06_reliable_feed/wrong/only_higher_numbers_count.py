"""Drops what is not above the last number, for ever after a restart."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
        before, seen[symbol] = seen.get(symbol), message["seq"]
        if before is not None and before != message["seq"]:""": """\
        before = seen.get(symbol)
        seen[symbol] = max(before or 0, message["seq"])
        if before is not None and before < message["seq"]:""",
    """\
    elif message["type"] == "update":
""": """\
    elif message["type"] == "update" and message["seq"] > seen[symbol]:
""",
}
FAILS = {
    "resume.anew": "the caller got",
}
