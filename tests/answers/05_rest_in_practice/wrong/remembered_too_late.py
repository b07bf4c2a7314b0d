"""The key is remembered when all is done: duplicates that meet all create."""

BASE = "starlette.py"

FAILS = {
    "retry.at_once": "4 that were sent at once",
}

CHANGES = {
    "            created[name] = (sent, make(sent))": """            todo = make(sent)
            await asyncio.sleep(0.05)  # in real life: a database
            created[name] = (sent, todo)""",
}
