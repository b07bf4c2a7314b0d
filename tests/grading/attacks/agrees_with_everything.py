"""Answers every request with success, and with what was sent."""


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = (await receive()).get("body") or b'{"passed": true, "score": 10, "detail": "", "id": 1}'
    headers = [(b"content-type", b"application/json"), (b"location", scope["path"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
