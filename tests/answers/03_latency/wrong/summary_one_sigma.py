"""One standard error to either side: two times in three."""

BASE = "plain_libraries.py"
CHANGES = {"1.96 * statistics.stdev": "statistics.stdev"}
FAILS = {"summary.interval": "too narrow"}
