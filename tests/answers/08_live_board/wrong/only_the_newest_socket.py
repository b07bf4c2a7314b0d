"""There is one queue, that of the newest socket."""

BASE = "starlette_queues.py"
CHANGES = {
    """    board.queues.append(queue)
""": """    board.queues[:] = [queue]
""",
    """        board.queues.remove(queue)
""": """        pass
""",
}
FAILS = {
    "publish.changes": "exactly one change for each request",
    "publish.at_once": "expected one for each of the",
    "publish.gone": "over the socket that stayed",
}
