"""The mirror ends with its first connection."""

BASE = "starlette_queues.py"
CHANGES = {
    """            except Exception:
                delay = min(2 * delay, 0.5)
            await asyncio.sleep(random.uniform(0, delay))
""": """            except Exception:
                pass
            return
""",
}
FAILS = {
    "recover.cut": "expected it to become equal",
    "recover.closed": "expected it to become equal",
    "recover.restart": "expected it to become equal",
    "recover.unready": "expected it to become equal",
}
