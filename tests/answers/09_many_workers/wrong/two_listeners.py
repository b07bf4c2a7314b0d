"""Two who enter in the same instant find no listener, and each start one: the room hears everything twice."""

BASE = "starlette_streams.py"
CHANGES = {
    """        async with self.lock:
            if room not in""": """        if True:
            if room not in""",
}
FAILS = {
    "fanout.once": "2 times over",
    "fanout.order": "this needs messages that come once",
}
