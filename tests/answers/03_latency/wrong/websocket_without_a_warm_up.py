"""No warm-up: the first message counts."""

BASE = "bare_sockets.py"
CHANGES = {
    "        for number in range(n + 1):": "        for number in range(n):",
    "    return durations[1:]": "    return durations",
}
FAILS = {"websocket.warm_up": "the first is a warm-up, not one of the durations"}
