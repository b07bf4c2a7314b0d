"""Problem details whose type says that they are just any JSON."""

BASE = "starlette.py"

FAILS = {
    "errors.problem": "it is application/json",
}

CHANGES = {
    '    media_type = "application/problem+json"': '    media_type = "application/json"',
}
