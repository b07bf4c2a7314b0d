"""exp is in the token, and nobody looks at it."""

BASE = "starlette_functions.py"
CHANGES = {
    "return jwt.decode(token, SECRET, algorithms=[ALGORITHM], audience=AUDIENCE)": 'return jwt.decode(token, SECRET, algorithms=[ALGORITHM], audience=AUDIENCE, options={"verify_exp": False})',
}
FAILS = {
    "token.expired": "expired two minutes ago",
}
