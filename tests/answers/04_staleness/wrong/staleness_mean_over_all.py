"""The ages are divided by the number of all updates."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
        "mean": sum(ages) / len(ages) if ages else None,
""": """\
        "mean": sum(ages) / len(made) if ages else None,
""",
}
FAILS = {
    "staleness.mean": "over those that were seen, not over all",
}
