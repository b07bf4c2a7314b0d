"""Nothing was seen, so the age is 0: the worst feed looks best."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
        "mean": sum(ages) / len(ages) if ages else None,
""": """\
        "mean": sum(ages) / len(ages) if ages else 0.0,
""",
    """\
        "p95": ages[int(0.95 * len(ages))] if ages else None,
""": """\
        "p95": ages[int(0.95 * len(ages))] if ages else 0.0,
""",
}
FAILS = {
    "staleness.none": "expected None",
}
