"""The page says that it is live whatever happens."""

BASE = "starlette_queues.py"
CHANGES = {
    """      say("Not connected");
""": "",
}
FAILS = {
    "page.honest": "that the connection is lost",
}
