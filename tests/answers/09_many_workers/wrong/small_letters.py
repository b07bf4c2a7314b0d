"""Names of rooms are made small for the key: Tea and tea hear each other."""

BASE = "starlette_streams.py"
CHANGES = {
    """    return f"room:{room}"
""": """    return f"room:{room.lower()}"
""",
}
FAILS = {
    "isolation.live": "expected it in its own room only",
    "isolation.history": "the 2 messages of this room and no others",
}
