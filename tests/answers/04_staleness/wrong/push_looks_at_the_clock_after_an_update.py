"""It waits for the next update without a timeout: in silence for ever."""

BASE = "requests_and_threads.py"
CHANGES = {
    "websocket.recv(timeout=left)": "websocket.recv()",
}
FAILS = {
    "push.silence": "who only looks at the clock after an update never looks again",
}
