"""Whose token it is meant to be is not looked at."""

BASE = "starlette_functions.py"
CHANGES = {
    "return jwt.decode(token, SECRET, algorithms=[ALGORITHM], audience=AUDIENCE)": 'return jwt.decode(token, SECRET, algorithms=[ALGORITHM], options={"verify_aud": False})',
}
FAILS = {
    "token.audience": "got 200 OK",
}
