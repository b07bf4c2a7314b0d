"""The pause stands before the question, so the first one comes an interval late."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
    start = time.perf_counter()
""": """\
    time.sleep(every)
    start = time.perf_counter()
""",
}
FAILS = {
    "poll.schedule": "expected the first GET /latest at once",
}
