"""The misses are held against what was seen."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
        "missed_share": missed / len(made),
""": """\
        "missed_share": missed / len(ages) if ages else 1.0,
""",
}
FAILS = {
    "staleness.share": "not of those that were seen",
}
