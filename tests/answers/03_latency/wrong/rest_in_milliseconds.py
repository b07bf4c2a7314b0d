"""Milliseconds instead of seconds."""

BASE = "plain_libraries.py"
CHANGES = {
    "            session.get(url, timeout=10)\n            durations.append(time.perf_counter() - start)": """\
            session.get(url, timeout=10)
            durations.append(1000 * (time.perf_counter() - start))""",
}
FAILS = {"rest.durations": "yours are not in seconds"}
