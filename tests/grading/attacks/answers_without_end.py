"""Sends an answer that never ends, as fast as it is read."""

page = b" " * 1_000_000


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    while True:
        await send({"type": "http.response.body", "body": page, "more_body": True})
