"""A change is counted first and made then: a snapshot in between names a change that is not in it."""

BASE = "starlette_queues.py"
CHANGES = {
    """            await asyncio.sleep(0.01)  # a database would take as long
            if todo is None:
                self.todos.pop(id)
            else:
                self.todos[id] = todo
            self.seq += 1
            self.tell(self.position() | {"id": id, "todo": todo})
""": """            self.seq += 1
            await asyncio.sleep(0.02)  # a database would take as long
            if todo is None:
                self.todos.pop(id)
            else:
                self.todos[id] = todo
            self.tell(self.position() | {"id": id, "todo": todo})
""",
}
FAILS = {
    "publish.snapshot": "while other requests changed the board",
}
