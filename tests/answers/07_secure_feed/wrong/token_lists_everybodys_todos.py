"""Whoever is logged in sees all todos."""

BASE = "starlette_functions.py"
CHANGES = {
    'return JSONResponse([todo for todo in todos.values() if todo["owner"] == user])': "return JSONResponse(list(todos.values()))",
}
FAILS = {
    "token.todos": "and no others",
    "token.owner": "not to be there",
}
