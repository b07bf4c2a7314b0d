"""The mean passed off as p50."""

BASE = "plain_libraries.py"
CHANGES = {'"p50": statistics.median(samples)': '"p50": mean'}
FAILS = {"summary.percentiles": "yours looks like the mean"}
