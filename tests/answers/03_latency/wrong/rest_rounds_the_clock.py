"""`time.time` rounded to milliseconds."""

BASE = "plain_libraries.py"
CHANGES = {
    """            start = time.perf_counter()
            session.get(url, timeout=10)
            durations.append(time.perf_counter() - start)""": """\
            start = round(time.time(), 3)
            session.get(url, timeout=10)
            durations.append(round(time.time(), 3) - start)""",
}
FAILS = {"rest.durations": "yours are whole milliseconds"}
