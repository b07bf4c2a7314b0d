"""A token expires fifteen seconds after the login."""

BASE = "starlette_functions.py"

FAILS = {
    "login.token": "seconds, not in 900",
}

CHANGES = {
    """"exp": int(time.time()) + TOKEN_SECONDS}
    token""": """"exp": int(time.time()) + 15}
    token""",
}
