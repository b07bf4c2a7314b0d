"""Takes whatever is JSON for an object."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
    match request:
""": """\
    if request.get("type") is None:
        return {"type": "error", "error": "No type"}
    match request:
""",
    """\
        request = None
""": """\
        request = {}
""",
}
FAILS = {
    "topics.malformed": "it is JSON, but a list and no object",
}
