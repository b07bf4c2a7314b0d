"""Whoever asks for a million todos gets them."""

BASE = "starlette.py"

FAILS = {
    "pages.limit": "expected at most 100 on one page",
}

CHANGES = {
    'min(int(request.query_params.get("limit", 20)), MAX_LIMIT)': 'int(request.query_params.get("limit", 20))',
}
