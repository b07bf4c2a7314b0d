"""Never says what it has had already."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
            if symbol in seen:
                asked["after"] = seen[symbol]
""": "",
}
FAILS = {
    "resume.once": "the caller got",
    "resume.gap": "the caller got",
}
