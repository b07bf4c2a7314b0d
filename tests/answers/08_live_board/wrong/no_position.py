"""The first message of a socket is the first change: a client does not know whether it missed one before."""

BASE = "starlette_queues.py"
CHANGES = {
    """    queue.put_nowait(json.dumps(board.position()))
""": '',
}
FAILS = {
    "publish.position": 'expected a position first',
    "page.honest": 'and then a way to connect',
    "publish.changes": 'as the first message of a socket',
}
