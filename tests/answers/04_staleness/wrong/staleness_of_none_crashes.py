"""Nothing was seen, and the mean divides by zero."""

BASE = "requests_and_threads.py"
CHANGES = {
    """\
        "mean": sum(ages) / len(ages) if ages else None,
""": """\
        "mean": sum(ages) / len(ages),
""",
}
FAILS = {
    "staleness.none": "ZeroDivisionError",
}
