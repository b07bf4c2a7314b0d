"""A deletion is told without the member todo."""

BASE = "starlette_queues.py"
CHANGES = {
    '            self.tell(self.position() | {"id": id, "todo": todo})': '            self.tell(self.position() | ({"id": id, "todo": todo} if todo else {"id": id, "deleted": True}))',
}
FAILS = {
    "publish.changes": "it has no todo",
}
