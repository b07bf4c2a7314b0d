"""missed_share runs from 0 to 100."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
        "missed_share": missed / len(made),
""": """\
        "missed_share": 100 * missed / len(made),
""",
}
FAILS = {
    "staleness.share": "a fraction, not per cent",
}
