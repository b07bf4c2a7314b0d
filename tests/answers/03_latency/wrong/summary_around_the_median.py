"""The interval is laid around the median."""

BASE = "plain_libraries.py"
CHANGES = {
    "(mean - margin, mean + margin)": "(statistics.median(samples) - margin, statistics.median(samples) + margin)"
}
FAILS = {"summary.interval": "beside the mean"}
