"""A timeout of one interval: a slow answer is never waited for, and asked for again."""

BASE = "requests_and_threads.py"
CHANGES = {
    "headers=known, timeout=left": "headers=known, timeout=every",
}
FAILS = {
    "poll.slow": "before it was there",
}
