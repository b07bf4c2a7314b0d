"""A null for the task is passed over in silence."""

BASE = "starlette.py"

FAILS = {
    "update.task": "because a todo without a task is no todo",
}

CHANGES = {
    """        if value is None:
""": """        if value is None and name == "task":
            continue
        if value is None:
""",
}
