"""Whatever answer comes, its tag is kept: a 503 has none."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
                pass
            else:""": """\
                known = {}
            else:""",
}
FAILS = {
    "poll.etag": "what it has, it still has after a fault",
}
