"""A dict from seq to seen_at instead of the list of pairs."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
    return seen


def push""": """\
    return dict(seen)


def push""",
}
FAILS = {
    "poll.changes": "expected a list of (seq, seen_at)",
    "poll.seen_at": "this needs the list",
    "poll.faults": "this needs the list",
}
