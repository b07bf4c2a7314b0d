"""All connections are opened first, then used one after the other."""

BASE = "bare_sockets.py"
CHANGES = {
    """    for _ in range(n):
        start = time.perf_counter_ns()
        sock, host, path = open_socket(url)
""": """\
    connections = [(time.perf_counter_ns(), open_socket(url)) for _ in range(n)]
    for start, (sock, host, path) in connections:
""",
}
FAILS = {
    "connect.turns": "no connection before the answer on the one before",
    "connect.durations": "expected each duration to be its answer's time",
}
