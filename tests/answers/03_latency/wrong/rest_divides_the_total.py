"""The total divided by n, n times."""

BASE = "plain_libraries.py"
CHANGES = {
    """        for _ in range(n):
            start = time.perf_counter()
            session.get(url, timeout=10)
            durations.append(time.perf_counter() - start)""": """\
        start = time.perf_counter()
        for _ in range(n):
            session.get(url, timeout=10)
        durations = [(time.perf_counter() - start) / n] * n""",
}
FAILS = {"rest.durations": "yours are all the same"}
