"""Two questions in each interval, to be on the safe side."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
    start = time.perf_counter()
""": """\
    start = time.perf_counter()
    every /= 2
""",
}
FAILS = {
    "poll.schedule": "one each",
}
