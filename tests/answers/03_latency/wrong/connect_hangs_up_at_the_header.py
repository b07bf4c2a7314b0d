"""The body is never read."""

BASE = "plain_libraries.py"
CHANGES = {
    """        requests.get(url, timeout=10)
        durations""": """\
        requests.get(url, timeout=10, stream=True).close()
        durations""",
}
FAILS = {"connect.durations": "you left before the whole answer was there"}
