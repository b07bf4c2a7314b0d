"""p95 as if the times were normally distributed."""

BASE = "plain_libraries.py"
CHANGES = {
    "    p95 = statistics.quantiles(samples, n=20)[-1] if samples else 0\n    mean = statistics.mean(samples)\n": """\
    mean = statistics.mean(samples)
    p95 = mean + 1.645 * statistics.stdev(samples)
""",
}
FAILS = {"summary.percentiles": "as for a bell curve"}
