"""Programs send no Origin, and are kept out."""

BASE = "starlette_functions.py"
CHANGES = {
    'origin is None or origin == "http': 'origin == "http',
}
FAILS = {
    "origin.none": "403 Forbidden",
}
