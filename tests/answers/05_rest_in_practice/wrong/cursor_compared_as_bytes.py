"""The signature is decoded before it is compared: its last character stands for fewer bits than it could."""

BASE = "starlette.py"

FAILS = {
    "pages.cursor": "expected 400 Bad Request, because the server did not issue that cursor",
}

CHANGES = {
    "    return f\"{last}.{hmac.new(SECRET, str(last).encode(), 'sha256').hexdigest()}\"": """    return f"{last}.{base64.urlsafe_b64encode(signature(last)).decode().rstrip('=')}"


def signature(last):
    return hmac.new(SECRET, str(last).encode(), "sha256").digest()""",
    """import asyncio
""": """import asyncio
import base64
import binascii
""",
    """    last = cursor.split(".")[0]
    if not hmac.compare_digest(signed(last).encode(), cursor.encode()):
        raise HTTPException(400, "This cursor was not issued here.")
""": """    last, _, sent = cursor.partition(".")
    try:
        good = hmac.compare_digest(signature(last), base64.urlsafe_b64decode(sent + "="))
    except binascii.Error:
        good = False
    if not good:
        raise HTTPException(400, "This cursor was not issued here.")
""",
}
