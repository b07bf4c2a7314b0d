"""Five a second from the first request on."""

BASE = "starlette.py"

FAILS = {
    "limits.burst": "expected 20 to be let in at once",
}

CHANGES = {
    "buckets.get(caller, (BURST, now))": "buckets.get(caller, (RATE, now))",
    "min(BURST, tokens": "min(RATE, tokens",
}
