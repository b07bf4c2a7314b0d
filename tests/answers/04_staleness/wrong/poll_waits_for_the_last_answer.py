"""A timeout that has nothing to do with the end: when the last answer hangs, it returns long after its time."""

BASE = "requests_and_threads.py"
CHANGES = {
    "session.get(url, headers=known, timeout=left)": "session.get(url, headers=known, timeout=5)",
}
FAILS = {
    "poll.end": "no answer to the last poll",
}
