"""Each update is put in front of those before it."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
            seen.append((json.loads(message)["seq"], time.perf_counter()))
""": """\
            seen.insert(0, (json.loads(message)["seq"], time.perf_counter()))
""",
}
FAILS = {
    "push.updates": "in the order in which they came",
}
