"""A limit above the highest is an error."""

BASE = "starlette.py"

FAILS = {
    "pages.limit": "a limit that is too high is lowered, not refused",
}

CHANGES = {
    '        limit = min(int(request.query_params.get("limit", 20)), MAX_LIMIT)': """        limit = int(request.query_params.get("limit", 20))
        limit = 0 if limit > MAX_LIMIT else limit""",
}
