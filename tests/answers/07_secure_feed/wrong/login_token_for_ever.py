"""A token without exp."""

BASE = "starlette_functions.py"
CHANGES = {
    ', "exp": int(time.time()) + TOKEN_SECONDS}\n    token': "}\n    token",
}
FAILS = {
    "login.token": "without an exp",
}
