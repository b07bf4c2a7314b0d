"""The clock stops when the message is sent; the answer is read afterwards."""

BASE = "plain_libraries.py"
CHANGES = {
    """            websocket.send("ping")
            websocket.recv()
            durations.append(time.perf_counter() - start)""": """\
            websocket.send("ping")
            durations.append(time.perf_counter() - start)
            websocket.recv()""",
}
FAILS = {"websocket.durations": "so the clock stops too early"}
