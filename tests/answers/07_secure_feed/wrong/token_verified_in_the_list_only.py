"""GET /todos looks at a token properly; GET /todos/{id} and POST /ticket only read it."""

BASE = "starlette_functions.py"

FAILS = {
    "token.signature": "Sent GET /todos/1 with a token that another key has signed",
    "token.algorithm": "Sent GET /todos/1 with a token without a signature",
    "token.expired": "Sent GET /todos/1 with a token that expired two minutes ago",
    "token.audience": "Sent GET /todos/1 with a token whose aud is",
}

CHANGES = {
    "async def collection(request):": """def unverified_claims_of(request):
    try:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        refuse("This token is not good.")


async def collection(request):""",
    """async def one(request):
    user = claims_of(request)["sub"]""": """async def one(request):
    user = unverified_claims_of(request)["sub"]""",
    """async def buy_ticket(request):
    claims = claims_of(request)""": """async def buy_ticket(request):
    claims = unverified_claims_of(request)""",
}
