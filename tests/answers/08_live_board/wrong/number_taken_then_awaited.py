"""Nobody holds a lock: a number is taken, then something awaited, then the change made and told."""

BASE = "starlette_queues.py"
CHANGES = {
    """        async with self.lock:
            await asyncio.sleep(0.01)  # a database would take as long
            if todo is None:
                self.todos.pop(id)
            else:
                self.todos[id] = todo
            self.seq += 1
            self.tell(self.position() | {"id": id, "todo": todo})
""": """        self.seq += 1
        number = self.seq
        await asyncio.sleep(random.uniform(0.005, 0.05))  # a database would take as long
        if todo is None:
            self.todos.pop(id)
        else:
            self.todos[id] = todo
        self.tell({"epoch": self.epoch, "seq": number, "id": id, "todo": todo})
""",
}
FAILS = {
    "publish.at_once": "expected each change to have the number that follows",
    "publish.snapshot": "while other requests changed the board",
}
