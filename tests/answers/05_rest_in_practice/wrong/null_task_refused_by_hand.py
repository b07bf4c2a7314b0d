"""A patch that takes the task away is refused, yet not as the other errors are."""

BASE = "starlette.py"

FAILS = {
    "errors.problem": "it is application/json",
}

CHANGES = {
    """    refuse_stale(request, todo)
    todos[""": """    refuse_stale(request, todo)
    if patch.get("task", "") is None:
        return JSONResponse({"detail": "A todo has a task."}, 422)
    todos[""",
}
