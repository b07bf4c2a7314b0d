"""A Session: only the first request opens a connection."""

BASE = "plain_libraries.py"
CHANGES = {
    """    for _ in range(n):
        start = time.perf_counter()
        requests.get(url, timeout=10)
        durations""": """\
    session = requests.Session()
    for _ in range(n):
        start = time.perf_counter()
        session.get(url, timeout=10)
        durations""",
}
FAILS = {"connect.new": "a connection that is kept costs nothing"}
