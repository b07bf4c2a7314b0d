"""A worker listens to the first room that somebody enters, and to no other."""

BASE = "starlette_streams.py"
CHANGES = {
    """            if room not in self.listeners:
""": """            if not self.listeners:
""",
}
FAILS = {
    "isolation.live": "expected both",
    "failure.return": "this needs messages that reach every member",
    "failure.busy": "this needs messages that reach every member",
    "failure.cut": "this needs messages that reach every member",
    "failure.restart": "this needs messages that reach every member",
}
