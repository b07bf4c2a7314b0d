"""Less than a second to wait is Retry-After: 0."""

BASE = "starlette.py"

FAILS = {
    "limits.retry_after": "whole seconds have to be rounded up",
}

CHANGES = {
    "str(math.ceil(wait))": "str(math.floor(wait))",
}
