"""The longest passed off as p95."""

BASE = "plain_libraries.py"
CHANGES = {'"p95": p95': '"p95": max(samples)'}
FAILS = {"summary.percentiles": "yours looks like the longest"}
