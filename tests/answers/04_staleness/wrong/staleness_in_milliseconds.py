"""Ages in milliseconds."""

BASE = "requests_and_threads.py"
CHANGES = {
    "sorted(at - made[seq] for": "sorted(1000 * (at - made[seq]) for",
}
FAILS = {
    "staleness.mean": "in seconds, not milliseconds",
    "staleness.p95": "by whichever definition",
}
