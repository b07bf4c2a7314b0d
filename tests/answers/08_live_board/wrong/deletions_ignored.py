"""A todo that is gone stays in the mirror."""

BASE = "starlette_queues.py"
CHANGES = {
    """            self.todos.pop(message["id"], None)
""": """            pass
""",
}
FAILS = {
    "mirror.changes": "is there, and on the board it is not",
}
