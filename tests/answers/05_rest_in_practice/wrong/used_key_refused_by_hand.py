"""A used Idempotency-Key with another body is refused, yet not as the other errors are."""

BASE = "starlette.py"

FAILS = {
    "errors.problem": "it is application/json",
}

CHANGES = {
    '            raise HTTPException(422, "This key came with another body.")': '            return JSONResponse({"detail": "This key came with another body."}, 422)',
}
