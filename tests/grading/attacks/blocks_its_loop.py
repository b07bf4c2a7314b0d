"""Blocks its event loop at the first request."""

import time


async def app(scope, receive, send):
    if scope["type"] == "http":
        while True:
            time.sleep(1000)
