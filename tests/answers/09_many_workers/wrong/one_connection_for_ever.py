"""The connection for messages is opened once: after an outage the worker takes none."""

BASE = "starlette_streams.py"
CHANGES = {
    """        number = await self.redis.xadd(key_of(room), {"text": text}, id="0-*", maxlen=1000)
""": """        if getattr(self, "broken", None):
            raise OSError("The connection to the broker is closed.")
        try:
            number = await self.redis.xadd(key_of(room), {"text": text}, id="0-*", maxlen=1000)
        except LOST:
            self.broken = True
            raise
""",
}
FAILS = {
    "failure.restart": "who has lost it has to try again",
}
