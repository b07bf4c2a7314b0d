"""The clock raises, and nobody catches it, so the connection breaks off."""

BASE = "starlette_functions.py"
CHANGES = {
    "    except TimeoutError:\n        code = 1008\n    finally:": "    finally:",
}
FAILS = {
    "expiry.token": "TimeoutError",
    "expiry.late": "because the token had expired",
}
