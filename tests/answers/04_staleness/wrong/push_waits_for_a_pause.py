"""The timeout starts anew with each update: a stream that goes on never lets it end."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
        while (left := end - time.perf_counter()) > 0:
            message = websocket.recv(timeout=left)
""": """\
        while True:
            message = websocket.recv(timeout=seconds)
""",
}
FAILS = {
    "push.end": "who only waits for a pause waits for ever",
}
