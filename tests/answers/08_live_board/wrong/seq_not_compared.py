"""Every change is applied, those that the snapshot holds already too."""

BASE = "starlette_queues.py"
CHANGES = {
    """        if message["seq"] <= self.seq:
            return True
        if message["seq"] != self.seq + 1 or "id" not in message:
""": """        if "id" not in message and message["seq"] <= self.seq:
            return True
        if message["seq"] > self.seq + 1 or "id" not in message:
""",
}
FAILS = {
    "mirror.order": "which was late",
}
