"""Every poll is made, the ones that a slow answer has covered all at once after it."""

BASE = "requests_and_threads.py"
CHANGES = {
    "            number = max(number + 1, math.ceil((time.perf_counter() - start) / every))": "            number += 1",
}
FAILS = {
    "poll.slow": "not made up for",
}
