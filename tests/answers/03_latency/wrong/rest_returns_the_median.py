"""One figure instead of n."""

BASE = "plain_libraries.py"
CHANGES = {
    "            session.get(url, timeout=10)\n            durations.append(time.perf_counter() - start)\n    return durations": """\
            session.get(url, timeout=10)
            durations.append(time.perf_counter() - start)
    return statistics.median(durations)""",
}
FAILS = {"rest.durations": "durations in seconds"}
