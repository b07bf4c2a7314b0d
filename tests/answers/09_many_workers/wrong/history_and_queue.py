"""What is in the history and in the queue is sent twice to who comes back."""

BASE = "starlette_streams.py"
CHANGES = {
    """                if after is None or message["seq"] > int(after):
                    await websocket.send_json(message)
""": """                await websocket.send_json(message)
""",
}
FAILS = {
    "failure.busy": "twice",
}
