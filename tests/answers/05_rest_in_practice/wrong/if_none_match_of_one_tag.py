"""A list of tags in If-None-Match is taken for one tag, which nothing has."""

BASE = "bare_asgi.py"

FAILS = {
    "conditional.not_modified": "the current tag is the second of these",
}

CHANGES = {
    'tag in tags(headers.get("if-none-match", ""))': 'tag == headers.get("if-none-match", "")',
}
