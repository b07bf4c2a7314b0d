"""The first message of a socket is the first change: a client does not know whether it missed one before."""

BASE = "starlette_queues.py"
CHANGES = {
    """    queue.put_nowait(json.dumps(board.position()))
""": "",
}
FAILS = {
    "publish.position": "expected a position first",
    "page.live": "every todo of the board in #todos",
    "page.text": "this needs a page that shows the board",
    "page.honest": "this needs a page that shows the board",
    "publish.changes": "as the first message of a socket",
}
