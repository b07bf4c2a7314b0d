"""POST /ticket reads a token without looking at its signature, its time or its audience."""

BASE = "starlette_functions.py"

FAILS = {
    "token.signature": "Sent POST /ticket with a token that another key has signed",
    "token.algorithm": "Sent POST /ticket with a token without a signature",
    "token.expired": "Sent POST /ticket with a token that expired two minutes ago",
    "token.audience": "Sent POST /ticket with a token whose aud is",
}

CHANGES = {
    "async def collection(request):": """def unverified_claims_of(request):
    try:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        refuse("This token is not good.")


async def collection(request):""",
    """async def buy_ticket(request):
    claims = claims_of(request)""": """async def buy_ticket(request):
    claims = unverified_claims_of(request)""",
}
