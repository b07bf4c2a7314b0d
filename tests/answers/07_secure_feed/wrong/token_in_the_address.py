"""A token in the address does as well, because some page found that handy."""

BASE = "starlette_functions.py"
CHANGES = {
    '    scheme, _, token = request.headers.get("authorization", "").partition(" ")\n': '    handy = "Bearer " + request.query_params.get("access_token", "")\n    scheme, _, token = request.headers.get("authorization", handy).partition(" ")\n',
}
FAILS = {
    "token.address": "access_token=…",
}
