"""The first message is a warm-up in name only: it is among the durations, and one more is sent for nothing."""

BASE = "bare_sockets.py"
CHANGES = {"    return durations[1:]": "    return durations[:-1]"}
FAILS = {"websocket.durations": "yours are those of earlier ones, the warm-up among them"}
