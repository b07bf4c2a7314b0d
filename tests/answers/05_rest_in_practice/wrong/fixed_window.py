"""Twenty in each window of four seconds: where two windows meet, forty."""

BASE = "starlette.py"

FAILS = {
    "limits.rate": "fixed window ends",
}

CHANGES = {
    """    tokens, at = buckets.get(caller, (BURST, now))
    tokens = min(BURST, tokens + (now - at) * RATE)
    if tokens < 1:
        buckets[caller] = tokens, now
        return (1 - tokens) / RATE
    buckets[caller] = tokens - 1, now
    return 0
""": """    window = int(now / 4)
    last, count = buckets.get(caller, (window, 0))
    count = count + 1 if last == window else 1
    buckets[caller] = window, count
    return 0 if count <= BURST else 4 * (window + 1) - now
""",
}
