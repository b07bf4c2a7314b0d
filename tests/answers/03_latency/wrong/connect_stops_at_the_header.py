"""`elapsed` ends when the header is there, before the body."""

BASE = "plain_libraries.py"
CHANGES = {
    """        requests.get(url, timeout=10)
        durations.append(time.perf_counter() - start)""": """\
        durations.append(requests.get(url, timeout=10).elapsed.total_seconds())""",
}
FAILS = {"connect.durations": "so the clock stops too early"}
