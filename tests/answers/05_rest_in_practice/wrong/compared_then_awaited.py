"""Between comparing the tag and storing the todo something is awaited."""

BASE = "starlette.py"

FAILS = {
    "update.writers": "were let in with the same tag",
}

CHANGES = {
    '    todos[todo["id"]] = {**checked(merge(todo, patch)), "id": todo["id"]}': """    await asyncio.sleep(0)  # in real life: a database
    todos[todo["id"]] = {**checked(merge(todo, patch)), "id": todo["id"]}""",
}
