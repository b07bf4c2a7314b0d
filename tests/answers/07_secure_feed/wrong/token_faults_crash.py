"""What is no token at all crashes: only expiry was thought of."""

BASE = "starlette_functions.py"
CHANGES = {
    "    except jwt.PyJWTError:\n": "    except (jwt.ExpiredSignatureError, jwt.InvalidAudienceError, jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):\n",
}
FAILS = {
    "token.missing": "got 500 Internal Server Error",
}
