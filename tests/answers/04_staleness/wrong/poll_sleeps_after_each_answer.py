"""A pause after each answer instead of a clock: the time for the answer comes on top."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
            time.sleep(max(0.0, start + number * every - time.perf_counter()))
""": "",
    "            number = max(number + 1, math.ceil((time.perf_counter() - start) / every))": """\
            time.sleep(every)
            number = (time.perf_counter() - start) / every""",
}
FAILS = {
    "poll.schedule": "the next poll is due by the clock, not a pause after the last answer",
}
