"""A cursor of somebody else's making is refused, yet not as the other errors are."""

BASE = "starlette.py"

FAILS = {
    "errors.problem": "it is application/json",
}

CHANGES = {
    '        raise HTTPException(400, "This cursor was not issued here.")': "        return None",
    "    found = [todo for id, todo in todos.items() if id > last]": """    if last is None:
        return JSONResponse({"detail": "This cursor was not issued here."}, 400)
    found = [todo for id, todo in todos.items() if id > last]""",
}
