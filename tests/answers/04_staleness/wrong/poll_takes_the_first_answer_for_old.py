"""The first answer is only the state to compare with, and not recorded."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
                    seen.append((answer.json()["seq"], now))
""": """\
                    if known:
                        seen.append((answer.json()["seq"], now))
""",
}
FAILS = {
    "poll.changes": "the first answer is news too",
}
