"""The page says that its connection is lost, and leaves it at that."""

BASE = "starlette_queues.py"
CHANGES = {
    """      setTimeout(listen, 100 + 200 * Math.random());
""": "",
}
FAILS = {
    "page.honest": "and then a way to connect",
}
