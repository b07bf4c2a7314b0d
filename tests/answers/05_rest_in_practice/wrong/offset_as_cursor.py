"""The cursor says how many todos came before: an offset, dressed up and signed."""

BASE = "starlette.py"

FAILS = {
    "pages.steady": "this one was missed",
}

CHANGES = {
    "    found = [todo for id, todo in todos.items() if id > last]": "    found = list(todos.values())[last:]",
    'signed(found[limit - 1]["id"])': "signed(last + limit)",
}
