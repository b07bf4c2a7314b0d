"""Who comes back gets what comes, and nothing of what it missed."""

BASE = "starlette_streams.py"
CHANGES = {
    """                for message in await self.history(room, int(after)):
                    await websocket.send_json(message)
                    after = message["seq"]
""": """                pass
""",
}
FAILS = {
    "failure.return": "and never the seq",
    "failure.busy": "and never the seq",
}
