"""What is left of the interval is slept: nothing, after a slow answer, and the schedule has moved."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
            time.sleep(max(0.0, start + number * every - time.perf_counter()))
""": """\
            asked = time.perf_counter()
""",
    "            number = max(number + 1, math.ceil((time.perf_counter() - start) / every))": """\
            time.sleep(max(0.0, asked + every - time.perf_counter()))
            number = (time.perf_counter() - start) / every""",
}
FAILS = {
    "poll.slow": "the others stay on the schedule",
}
