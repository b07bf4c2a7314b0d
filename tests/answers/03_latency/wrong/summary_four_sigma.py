"""Four standard errors, to be on the safe side."""

BASE = "plain_libraries.py"
CHANGES = {"1.96 * statistics.stdev": "4 * statistics.stdev"}
FAILS = {"summary.interval": "too wide to say anything"}
