"""Whoever mistypes a path gets the framework's own plain text."""

BASE = "starlette.py"

FAILS = {
    "errors.problem": "it is text/plain",
}

CHANGES = {
    """async def on_http_error(request, error):
""": """async def on_http_error(request, error):
    if error.detail == "Not Found":
        return Response("Not Found", 404, media_type="text/plain")
""",
}
