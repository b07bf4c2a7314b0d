"""A bearer token in the address opens a socket as well."""

BASE = "starlette_functions.py"
CHANGES = {
    '    claims = await claims_behind(websocket.query_params.get("ticket"))\n': '    claims = await claims_behind(websocket.query_params.get("ticket"))\n    with suppress(jwt.PyJWTError):\n        claims = claims or jwt.decode(websocket.query_params.get("token", ""), SECRET, [ALGORITHM], audience=AUDIENCE)\n',
}
FAILS = {
    "ticket.needed": "?token=… with a bearer token",
}
