"""Seconds since the call began, which nobody else can compare with anything."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
                now = time.perf_counter()
""": """\
                now = time.perf_counter() - start
""",
}
FAILS = {
    "poll.seen_at": "counted from the call",
}
