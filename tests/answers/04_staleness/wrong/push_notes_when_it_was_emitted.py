"""seen_at is copied from the update's emitted_at, so that every age is zero."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
            seen.append((json.loads(message)["seq"], time.perf_counter()))
""": """\
            update = json.loads(message)
            seen.append((update["seq"], update["emitted_at"]))
""",
}
FAILS = {
    "push.seen_at": "is it the update's own emitted_at?",
}
