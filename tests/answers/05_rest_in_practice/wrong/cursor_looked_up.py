"""The page begins behind the todo that the cursor names: gone if that todo is."""

BASE = "starlette.py"

FAILS = {
    "pages.steady": "although others deleted todos of the page before",
}

CHANGES = {
    "    found = [todo for id, todo in todos.items() if id > last]": """    if last and last not in todos:
        raise HTTPException(400, "This cursor leads nowhere.")
    found = list(todos.values())[list(todos).index(last) + 1 if last else 0 :]""",
}
