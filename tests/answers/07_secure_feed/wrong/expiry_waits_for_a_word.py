"""The clock is looked at whenever the client says something; a listener says nothing."""

BASE = "starlette_functions.py"
CHANGES = {
    'async with asyncio.timeout(claims["exp"] - time.time()):\n            code = await listen(websocket)\n': "async with asyncio.timeout(None):\n            code = await listen(websocket, claims)\n",
    "async def listen(websocket):\n": "async def listen(websocket, claims):\n",
    "            return 1009\n": '            return 1009\n        if time.time() >= claims["exp"]:\n            return 1008\n',
}
FAILS = {
    "expiry.token": "seconds after it had expired",
    "expiry.late": "because the token had expired",
}
