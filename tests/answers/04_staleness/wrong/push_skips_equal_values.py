"""An update with the value of the one before is no news, it thinks."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
            seen.append((json.loads(message)["seq"], time.perf_counter()))
""": """\
            update = json.loads(message)
            if update["value"] != value:
                seen.append((update["seq"], time.perf_counter()))
            value = update["value"]
""",
    """\
    seen = []
    with connect""": """\
    seen, value = [], None
    with connect""",
}
FAILS = {
    "push.updates": "every update once",
}
