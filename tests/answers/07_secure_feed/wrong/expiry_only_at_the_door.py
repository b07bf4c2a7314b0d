"""The token's time is looked at in the handshake, and then never again."""

BASE = "starlette_functions.py"
CHANGES = {
    '    try:\n        async with asyncio.timeout(claims["exp"] - time.time()):\n            code = await listen(websocket)\n': "    try:\n        code = await listen(websocket)\n",
    "return claims if time.monotonic() < good_until else None": 'return claims if time.monotonic() < good_until and time.time() < claims["exp"] else None',
}
FAILS = {
    "expiry.token": "seconds after it had expired",
}
