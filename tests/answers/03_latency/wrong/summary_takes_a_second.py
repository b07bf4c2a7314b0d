"""A bootstrap that draws far more than it needs."""

BASE = "bare_sockets.py"
CHANGES = {
    "    mean, count = statistics.fmean(ordered), len(ordered)\n": """\
    mean, count = statistics.fmean(ordered), len(ordered)
    time.sleep(1.1 if count > 500 else 0)  # as long as 10,000 draws of a thousand take
""",
}
FAILS = {"summary.quick": "expected one within 1 s", "summary.interval": "this needs 100 calls of summarise"}
