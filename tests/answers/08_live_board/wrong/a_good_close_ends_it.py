"""After a close in good order the mirror takes the board for finished."""

BASE = "starlette_queues.py"
CHANGES = {
    """                await self.follow()
                delay = 0.05
""": """                await self.follow()
                return
""",
}
FAILS = {
    "recover.closed": "1001 (going away)",
}
