"""The warm-up is the first of the durations, and a request more is made at the end."""

BASE = "bare_sockets.py"
CHANGES = {
    """        for _ in range(3):
            ask(sock, stream, host, path)
        laps""": "        laps",
    "        for _ in range(n):\n            ask(sock, stream, host, path)\n            laps.append(time.perf_counter())": """\
        for _ in range(n + 1):
            ask(sock, stream, host, path)
            laps.append(time.perf_counter())
        laps.pop()""",
}
FAILS = {"rest.durations": "yours are those of earlier ones, the warm-up among them"}
