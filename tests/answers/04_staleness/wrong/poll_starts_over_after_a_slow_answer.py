"""The schedule begins anew when an answer was late: a whole interval after it."""

BASE = "requests_and_threads.py"
CHANGES = {
    "            number = max(number + 1, math.ceil((time.perf_counter() - start) / every))": """\
            number += 1
            if start + number * every < time.perf_counter():
                late = time.perf_counter() - start - number * every
                start, seconds = start + late + every, seconds - late - every""",
}
FAILS = {
    "poll.slow": "intervals off those before it",
}
