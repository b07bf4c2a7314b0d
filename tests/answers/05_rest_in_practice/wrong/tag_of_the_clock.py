"""The tag is the time of the last write, also of one that changed nothing."""

BASE = "starlette.py"

FAILS = {
    "conditional.tag": "expected the same tag, because the todo is the same",
    "conditional.restart": "for the same todo; expected the same tag",
}

CHANGES = {
    "    return '\"%s\"' % hashlib.md5(written(value, media_type)).hexdigest()": """    of_all = value if isinstance(value, list) else [value]
    return '"%s"' % "-".join(str(changed.get(todo["id"], 0)) for todo in of_all)""",
    '    todos[last_id] = {**todo, "id": last_id}': """    todos[last_id] = {**todo, "id": last_id}
    changed[last_id] = time.time_ns()""",
    '    todos[todo["id"]] = {**checked(merge(todo, patch)), "id": todo["id"]}': """    todos[todo["id"]] = {**checked(merge(todo, patch)), "id": todo["id"]}
    changed[todo["id"]] = time.time_ns()""",
    "created = {}": """created = {}
changed = {}""",
}
