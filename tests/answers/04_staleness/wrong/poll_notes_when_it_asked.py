"""The moment of the question stands for that of the answer."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
                answer = session.get(url, headers=known, timeout=left)
""": """\
                now = time.perf_counter()
                answer = session.get(url, headers=known, timeout=left)
""",
    """\
                pass
            else:
                now = time.perf_counter()
""": """\
                pass
            else:
""",
}
FAILS = {
    "poll.seen_at": "is it when it was asked for?",
}
