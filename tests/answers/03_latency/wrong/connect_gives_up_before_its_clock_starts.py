"""The clock starts when the connection is open, and a slow opening, which would show it, is given up at once."""

BASE = "bare_sockets.py"
CHANGES = {
    "timeout=10": "timeout=0.5",
    """        start = time.perf_counter_ns()
        sock, host, path = open_socket(url)""": """\
        sock, host, path = open_socket(url)
        start = time.perf_counter_ns()""",
}
FAILS = {"connect.opening": "use a timeout of two seconds or more"}
