"""exp in milliseconds, as JavaScript counts: good for tens of thousands of years."""

BASE = "starlette_functions.py"
CHANGES = {
    '"exp": int(time.time()) + TOKEN_SECONDS}': '"exp": int(1000 * (time.time() + TOKEN_SECONDS))}',
}
FAILS = {
    "login.token": "not in 900",
}
