"""`requests.get` in the loop: each request opens a connection of its own, and is timed with that."""

BASE = "plain_libraries.py"
CHANGES = {
    "        session.get(url, timeout=10)\n        for": "        requests.get(url, timeout=10)\n        for",
    "            session.get(url, timeout=10)\n            durations": "            requests.get(url, timeout=10)\n            durations",
}
FAILS = {"rest.connection": "opening each time costs a round trip more"}
