"""A 401 without WWW-Authenticate."""

BASE = "starlette_functions.py"
CHANGES = {
    'raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})': "raise HTTPException(401, detail)",
}
FAILS = {
    "login.refused": "no WWW-Authenticate header",
}
