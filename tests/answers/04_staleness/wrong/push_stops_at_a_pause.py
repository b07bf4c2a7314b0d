"""A third of a second without an update is taken for the end of the stream."""

BASE = "requests_and_threads.py"
CHANGES = {
    "websocket.recv(timeout=left)": "websocket.recv(timeout=min(left, 0.3))",
}
FAILS = {
    "push.updates": "those after a pause",
    "push.silence": "silence is no end",
}
