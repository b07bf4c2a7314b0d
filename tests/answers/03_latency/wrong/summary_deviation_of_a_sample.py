"""The standard deviation where the standard error should be."""

BASE = "plain_libraries.py"
CHANGES = {" / len(samples) ** 0.5": ""}
FAILS = {"summary.interval": "too wide to say anything"}
