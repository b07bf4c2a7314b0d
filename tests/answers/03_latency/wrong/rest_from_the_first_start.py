"""The clock is started once: each duration has those before it in it."""

BASE = "plain_libraries.py"
CHANGES = {
    """        for _ in range(n):
            start = time.perf_counter()
            session.get(url, timeout=10)""": """\
        start = time.perf_counter()
        for _ in range(n):
            session.get(url, timeout=10)""",
}
FAILS = {"rest.durations": "yours are all counted from the first start"}
