"""Comes back, says hello, and waits for updates that nobody sends."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
        for symbol in symbols:
            asked""": """\
        for symbol in () if "subscribed" in seen else symbols:
            asked""",
    """\
    if message["type"] == "subscribed":
""": """\
    seen["subscribed"] = True
    if message["type"] == "subscribed":
""",
}
FAILS = {
    "reconnect.subscribes": "asked for nothing",
    "resume.once": "this needs a client that comes back",
    "resume.gap": "this needs a client that comes back",
    "resume.anew": "this needs a client that comes back",
}
