"""A change is told first and made then. (So that its page is right in the end, it polls besides.)"""

BASE = "starlette_queues.py"
CHANGES = {
    """  listen();
</script>
""": """  listen();
  setInterval(draw, 300);
</script>
""",
    """            await asyncio.sleep(0.01)  # a database would take as long
            if todo is None:
                self.todos.pop(id)
            else:
                self.todos[id] = todo
            self.seq += 1
            self.tell(self.position() | {"id": id, "todo": todo})
""": """            self.tell({"epoch": self.epoch, "seq": self.seq + 1, "id": id, "todo": todo})
            await asyncio.sleep(0.05)  # a database would take as long
            if todo is None:
                self.todos.pop(id)
            else:
                self.todos[id] = todo
            self.seq += 1
""",
}
FAILS = {
    "publish.committed": "without that change",
}
