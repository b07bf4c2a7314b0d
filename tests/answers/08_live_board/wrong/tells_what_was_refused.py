"""A deletion of what is not there is told, and then refused."""

BASE = "starlette_queues.py"
CHANGES = {
    """    if id not in board.todos:
        return JSONResponse""": """    if id not in board.todos:
        if request.method == "DELETE":
            board.seq += 1
            board.tell(board.position() | {"id": id, "todo": None})
        return JSONResponse""",
}
FAILS = {
    "publish.refused": "because none was made",
}
