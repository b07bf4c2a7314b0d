"""A listener that has lost its broker goes on with what is new then: what came meanwhile is lost."""

BASE = "starlette_streams.py"
CHANGES = {
    """                await asyncio.sleep(random.uniform(0, 0.3))
                continue
""": """                while True:
                    await asyncio.sleep(random.uniform(0, 0.3))
                    with contextlib.suppress(*LOST):
                        after = await self.newest(room)
                        break
                continue
""",
}
FAILS = {
    "failure.cut": "expected all of them, once and in order",
    "failure.restart": "expected all of them, once and in order",
}
