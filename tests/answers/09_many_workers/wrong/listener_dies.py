"""The listener ends with its connection to the broker: open sockets, and silence."""

BASE = "starlette_streams.py"
CHANGES = {
    """                await asyncio.sleep(random.uniform(0, 0.3))
                continue
""": """                return
""",
}
FAILS = {
    "failure.cut": "soon after the worker reaches the broker again",
    "failure.restart": "soon after the worker reaches the broker again",
}
