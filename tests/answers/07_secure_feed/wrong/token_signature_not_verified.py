"""The token is decoded without a look at its signature."""

BASE = "starlette_functions.py"
CHANGES = {
    "return jwt.decode(token, SECRET, algorithms=[ALGORITHM], audience=AUDIENCE)": 'return jwt.decode(token, options={"verify_signature": False, "verify_exp": True, "verify_aud": True}, audience=AUDIENCE)',
}
FAILS = {
    "token.signature": "another key has signed",
    "token.algorithm": "got 200 OK",
}
