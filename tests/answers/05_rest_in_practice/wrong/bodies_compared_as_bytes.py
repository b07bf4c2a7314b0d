"""The same JSON with other spaces is another body."""

BASE = "starlette.py"

FAILS = {
    "retry.body": "because it is the same JSON with other spaces",
}

CHANGES = {
    "created[name] = (sent, make(sent))": "created[name] = (await request.body(), make(sent))",
    "        if before != sent:": "        if before != await request.body():",
}
