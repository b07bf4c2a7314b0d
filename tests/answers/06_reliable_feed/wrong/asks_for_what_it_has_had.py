"""Goes on from where it once began, and gets everything again."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
        seen[symbol] = message["seq"]
        return [message]""": "        return [message]",
}
FAILS = {
    "resume.once": "the caller got",
    "resume.gap": "the caller got",
    "resume.anew": "the caller got",
}
