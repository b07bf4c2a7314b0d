"""A snapshot that is answered with an error ends the mirror."""

BASE = "starlette_queues.py"
CHANGES = {
    """            except Exception:
                delay""": """            except (OSError, WebSocketException):
                delay""",
    """from websockets.asyncio.client import connect
""": """from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
""",
}
FAILS = {
    "recover.unready": "503 Service Unavailable",
}
