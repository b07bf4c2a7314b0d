"""A replacement is told as a deletion and a creation."""

BASE = "starlette_queues.py"
CHANGES = {
    """            self.seq += 1
            self.tell(self""": """            if todo is not None and id <= self.told:
                self.seq += 1
                self.tell(self.position() | {"id": id, "todo": None})
            self.told = max(self.told, id)
            self.seq += 1
            self.tell(self""",
    """        self.last_id = 0
""": """        self.last_id = 0
        self.told = 0
""",
}
FAILS = {
    "publish.changes": 'and the todo',
    "publish.at_once": 'expected one for each of the',
}
