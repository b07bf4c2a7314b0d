"""The clock is looked at only when something is new: when nothing is, it never ends."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
        while number * every < seconds:
""": """\
        while True:
""",
    """\
                    known = {"If-None-Match": answer.headers["ETag"]}
""": """\
                    known = {"If-None-Match": answer.headers["ETag"]}
                    if number * every >= seconds:
                        return seen
""",
}
FAILS = {
    "poll.end": "it had not returned",
    "poll.changes": "it had not returned",
    "poll.seen_at": "this needs the list",
    "poll.faults": "this needs the list",
}
