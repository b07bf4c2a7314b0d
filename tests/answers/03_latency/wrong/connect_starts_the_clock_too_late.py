"""The clock starts when the connection is open."""

BASE = "bare_sockets.py"
CHANGES = {
    """        start = time.perf_counter_ns()
        sock, host, path = open_socket(url)""": """\
        sock, host, path = open_socket(url)
        start = time.perf_counter_ns()""",
}
FAILS = {"connect.opening": "start the clock before you connect"}
