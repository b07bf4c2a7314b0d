"""A 304 that comes with the todo all the same."""

BASE = "starlette.py"

FAILS = {
    "conditional.not_modified": "expected no body, because 304 has none",
    "conditional.collection": "expected no body, because 304 has none",
}

CHANGES = {
    "        return Response(status_code=304, headers=headers)": "        return Response(written(value, media_type), 304, headers, media_type)",
}
