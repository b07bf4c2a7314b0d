"""The token's own header says how it is checked."""

BASE = "starlette_functions.py"
CHANGES = {
    "return jwt.decode(token, SECRET, algorithms=[ALGORITHM], audience=AUDIENCE)": 'return jwt.decode(token, SECRET, algorithms=[jwt.get_unverified_header(token)["alg"]], audience=AUDIENCE)',
}
FAILS = {
    "token.algorithm": '"alg": "HS512"',
}
