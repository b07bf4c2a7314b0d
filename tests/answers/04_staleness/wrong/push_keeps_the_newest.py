"""A dict by what is new: the newest update of all is left, and the others are gone."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
            seen.append((json.loads(message)["seq"], time.perf_counter()))
""": """\
            seen = [(json.loads(message)["seq"], time.perf_counter())]
""",
}
FAILS = {
    "push.updates": "every update once",
}
