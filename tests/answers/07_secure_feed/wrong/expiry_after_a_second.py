"""Closes every socket after a second, to be on the safe side."""

BASE = "starlette_functions.py"
CHANGES = {
    'asyncio.timeout(claims["exp"] - time.time())': 'asyncio.timeout(min(1, claims["exp"] - time.time()))',
}
FAILS = {
    "expiry.token": "seconds too early",
}
