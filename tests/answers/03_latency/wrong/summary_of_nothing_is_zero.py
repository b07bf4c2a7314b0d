"""An empty list gets zeros."""

BASE = "plain_libraries.py"
CHANGES = {
    "    p95 = statistics.quantiles": """\
    if not samples:
        return {"p50": 0.0, "p95": 0.0, "mean": 0.0, "ci95": (0.0, 0.0)}
    p95 = statistics.quantiles""",
}
FAILS = {"summary.empty": "nothing has no mean"}
