"""Who comes back gets the whole history, whatever it has."""

BASE = "starlette_streams.py"
CHANGES = {
    """                for message in await self.history(room, int(after)):
""": """                for message in await self.history(room, 0):
""",
}
FAILS = {
    "failure.return": "which this member had already",
    "failure.busy": "which this member had already",
}
