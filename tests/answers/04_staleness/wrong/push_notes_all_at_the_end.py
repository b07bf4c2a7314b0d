"""Everything is collected first, and timed when it is taken apart."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
            seen.append((json.loads(message)["seq"], time.perf_counter()))
""": """\
            seen.append(message)
""",
    """\
    return seen


def staleness""": """\
    return [(json.loads(message)["seq"], time.perf_counter()) for message in seen]


def staleness""",
}
FAILS = {
    "push.seen_at": "not later and not all together",
}
