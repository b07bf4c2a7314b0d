"""A PATCH without If-Match is let in."""

BASE = "starlette.py"

FAILS = {
    "update.match": "without If-Match nobody knows which version was meant",
}

CHANGES = {
    """        raise HTTPException(428, "Send If-Match.")
    refuse_stale(request, todo)""": """        pass
    else:
        refuse_stale(request, todo)""",
}
