"""DELETE does not look at If-Match."""

BASE = "starlette.py"

FAILS = {
    "update.match": "Sent DELETE",
}

CHANGES = {
    """    if "if-match" in request.headers:
        refuse_stale(request, todo)
    del""": "    del",
}
