"""Only the numbers are compared, whichever run of the server they belong to."""

BASE = "starlette_queues.py"
CHANGES = {
    """        if message["epoch"] != self.epoch:
            return False
""": """        if self.epoch is None:
            return False
""",
}
FAILS = {
    "recover.restart": "at seq 1",
}
