"""Misses are the difference of two lengths: an update from before makes up for one."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
    missed = len(made) - len(ages)
""": """\
    missed = len(emitted) - len(seen)
""",
}
FAILS = {
    "staleness.unknown": "what was not emitted was not seen either",
}
