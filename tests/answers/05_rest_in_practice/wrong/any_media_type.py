"""Every body is read as JSON, whatever it claims to be."""

BASE = "starlette.py"

FAILS = {
    "errors.media": "415 Unsupported Media Type, because a body is JSON here",
}

CHANGES = {
    """    if request.headers.get("content-type", "").split(";")[0].strip().lower() not in media_types:
        raise HTTPException(415, "Send " + " or ".join(media_types))
""": "",
}
