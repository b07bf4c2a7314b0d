"""time.time() instead of time.perf_counter()."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
                now = time.perf_counter()
""": """\
                now = time.time()
""",
}
FAILS = {
    "poll.seen_at": "which is the time of day",
}
