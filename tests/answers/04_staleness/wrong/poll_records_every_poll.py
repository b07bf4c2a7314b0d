"""Each poll is recorded, whether something is new or not."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
                if answer.status_code == 200:
                    seen.append((answer.json()["seq"], now))
                    known = {"If-None-Match": answer.headers["ETag"]}
""": """\
                if answer.status_code == 200:
                    update = answer.json()
                    known = {"If-None-Match": answer.headers["ETag"]}
                seen.append((update["seq"], now))
""",
}
FAILS = {
    "poll.changes": "each change once, however often it was asked for",
}
