"""No conditional request: it compares the seq, and pays for each answer in full."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
                    seen.append((answer.json()["seq"], now))
""": """\
                    if not seen or seen[-1][0] != answer.json()["seq"]:
                        seen.append((answer.json()["seq"], now))
""",
    """\
                    known = {"If-None-Match": answer.headers["ETag"]}
""": "",
}
FAILS = {
    "poll.etag": "a poll without If-None-Match",
}
