"""The mirror fetches first and listens then."""

BASE = "starlette_queues.py"
CHANGES = {
    """        async with connect(self.base_url.replace("http", "ws", 1) + "/updates", proxy=None) as socket:
            async for text in socket:
""": """        await self.fetch()
        async with connect(self.base_url.replace("http", "ws", 1) + "/updates", proxy=None) as socket:
            position = json.loads(await socket.recv())
            self.seq = position["seq"]
            async for text in socket:
""",
}
FAILS = {
    "mirror.race": "expected it to become equal",
}
