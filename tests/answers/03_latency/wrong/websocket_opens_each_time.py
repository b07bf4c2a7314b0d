"""A WebSocket for each message."""

BASE = "plain_libraries.py"
CHANGES = {
    """        for _ in range(n):
            start = time.perf_counter()
            websocket.send("ping")
            websocket.recv()
            durations""": """\
    for _ in range(n):
        with connect(uri, proxy=None) as websocket:
            start = time.perf_counter()
            websocket.send("ping")
            websocket.recv()
            durations""",
}
FAILS = {"websocket.connection": "opening each time costs a round trip more"}
