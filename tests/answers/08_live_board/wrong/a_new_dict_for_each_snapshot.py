"""Each snapshot makes a new dict; whoever entered the mirror holds the old one."""

BASE = "starlette_queues.py"
CHANGES = {
    """        self.todos.clear()
        self.todos.update({todo["id"]: todo for todo in snapshot["todos"]})
""": """        self.todos = {todo["id"]: todo for todo in snapshot["todos"]}
""",
}
FAILS = {
    "mirror.snapshot": "an empty mirror",
    "mirror.changes": "an empty mirror",
    "mirror.race": "an empty mirror",
    "mirror.order": "an empty mirror",
    "recover.cut": "this needs a mirror that follows a board",
    "recover.closed": "this needs a mirror that follows a board",
    "recover.gap": "this needs a mirror that follows a board",
    "recover.restart": "this needs a mirror that follows a board",
    "recover.unready": "this needs a mirror that follows a board",
}
