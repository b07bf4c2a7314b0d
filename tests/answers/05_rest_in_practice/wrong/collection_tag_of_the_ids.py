"""The tag of the collection is made of the ids, which stay when a todo changes."""

BASE = "starlette.py"

FAILS = {
    "conditional.collection": "before and after a todo was changed",
}

CHANGES = {
    "    return '\"%s\"' % hashlib": """    if isinstance(value, list):
        value = [{"id": todo["id"], "task": "", "status": ""} for todo in value]
    return '"%s"' % hashlib""",
}
