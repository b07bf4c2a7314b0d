"""The key holds the beginning of a room's name: long names share it."""

BASE = "starlette_streams.py"
CHANGES = {
    """    return f"room:{room}"
""": """    return f"room:{room[:16]}"
""",
}
FAILS = {
    "isolation.live": "expected it in its own room only",
    "isolation.history": "the 2 messages of this room and no others",
}
