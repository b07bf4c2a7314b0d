"""The cursor is the id in base64: anybody can make one."""

BASE = "starlette.py"

FAILS = {
    "pages.cursor": "because the server did not issue that cursor",
}

CHANGES = {
    "    return f\"{last}.{hmac.new(SECRET, str(last).encode(), 'sha256').hexdigest()}\"": '    return base64.urlsafe_b64encode(f"after-{last}".encode()).decode()',
    """import asyncio
""": """import asyncio
import base64
""",
    """    last = cursor.split(".")[0]
    if not hmac.compare_digest(signed(last).encode(), cursor.encode()):
        raise HTTPException(400, "This cursor was not issued here.")
    return int(last)
""": """    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("after-"))
    except ValueError:
        raise HTTPException(400, "This cursor was not issued here.") from None
""",
}
