"""A new snapshot is added to what the mirror has: what was deleted meanwhile stays."""

BASE = "starlette_queues.py"
CHANGES = {
    """        self.todos.clear()
""": "",
}
FAILS = {
    "recover.restart": "on the board it is not",
}
