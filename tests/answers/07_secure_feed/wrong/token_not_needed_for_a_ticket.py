"""Tickets are sold to whoever comes, with a token or without one."""

BASE = "starlette_functions.py"

FAILS = {
    "token.missing": "Sent POST /ticket without a token",
}

CHANGES = {
    """async def buy_ticket(request):
    claims = claims_of(request)""": """async def buy_ticket(request):
    guest = {"sub": "guest", "exp": int(time.time()) + TOKEN_SECONDS}
    claims = claims_of(request) if "authorization" in request.headers else guest""",
}
