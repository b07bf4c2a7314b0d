"""An over-long message ends the socket with 1008, which is for rules and not for size."""

BASE = "starlette_functions.py"
CHANGES = {
    "            return 1009\n": "            return 1008\n",
}
FAILS = {
    "expiry.message": "expected close code 1009",
}
