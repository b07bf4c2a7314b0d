"""Percentiles of a list that is in no order."""

BASE = "bare_sockets.py"
CHANGES = {
    "    ordered = sorted(samples)": "    ordered = list(samples)",
}
FAILS = {"summary.percentiles": "expected"}
