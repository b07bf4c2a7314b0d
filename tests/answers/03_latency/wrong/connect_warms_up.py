"""A warm-up before the connections, as for round trips."""

BASE = "plain_libraries.py"
CHANGES = {
    """    for _ in range(n):
        start = time.perf_counter()
        requests.get(url, timeout=10)
        durations""": """\
    requests.get(url, timeout=10)
    for _ in range(n):
        start = time.perf_counter()
        requests.get(url, timeout=10)
        durations""",
}
FAILS = {
    "connect.new": "each opening is what is to be timed, the first one too",
    "connect.opening": "start the clock before you connect",
}
