"""Who comes back gets the history, and then a queue: what comes in between is lost."""

BASE = "starlette_streams.py"
CHANGES = {
    """        queue = self.enter(room)
        try:
            if after""": """        queue = self.enter(room) if after is None else None
        try:
            if after""",
    """            while True:
                message = await queue.get()
""": """            queue = queue or self.enter(room)
            while True:
                message = await queue.get()
""",
}
FAILS = {
    "failure.busy": "and never the seq",
}
