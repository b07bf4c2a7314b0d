"""A number that was left out makes no difference."""

BASE = "starlette_queues.py"
CHANGES = {
    """        if message["seq"] != self.seq + 1 or "id" not in message:
            return False
""": """        if "id" not in message:
            return self.fetched_here
""",
    """        self.epoch, self.seq = None, 0
""": """        self.epoch, self.seq = None, 0
        self.fetched_here = False
""",
    """        self.epoch, self.seq = snapshot["epoch"], snapshot["seq"]
""": """        self.epoch, self.seq = snapshot["epoch"], snapshot["seq"]
        self.fetched_here = True
""",
    """        async with connect(self.base_url.replace("http", "ws", 1) + "/updates", proxy=None) as socket:
            async for text in socket:
""": """        self.fetched_here = False
        async with connect(self.base_url.replace("http", "ws", 1) + "/updates", proxy=None) as socket:
            async for text in socket:
""",
}
FAILS = {
    "recover.gap": '"Missed"',
}
