"""The clock is looked at when the pause is over, right before the next question."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
            time.sleep(max(0.0, start + number * every - time.perf_counter()))
""": """\
            time.sleep(max(0.0, start + number * every - time.perf_counter()))
            if seen and seen[-1][1] is None:
                seen[-1] = (seen[-1][0], time.perf_counter())
""",
    """\
                    seen.append((answer.json()["seq"], now))
""": """\
                    seen.append((answer.json()["seq"], None))
""",
    """\
    return seen


def push""": """\
    return [(seq, at or time.perf_counter()) for seq, at in seen]


def push""",
}
FAILS = {
    "poll.seen_at": "look at the clock before you sleep",
}
