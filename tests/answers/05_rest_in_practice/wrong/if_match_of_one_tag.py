"""A PATCH takes a list of tags in If-Match for one tag, which nothing has."""

BASE = "bare_asgi.py"

FAILS = {
    "update.match": "the current tag is the second of these",
}

CHANGES = {
    '    if tag_of(id) not in tags(headers["if-match"]):': '    if tag_of(id) != headers["if-match"]:',
}
