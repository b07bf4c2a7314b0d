"""Passwords are checked in two threads, and every other handler needs one of them, too."""

BASE = "starlette_functions.py"

FAILS = {
    "login.crowd": "in the threads that all handlers share",
}

CHANGES = {
    "import asyncio\nimport json": "import asyncio\nimport concurrent.futures\nimport json",
    """async def health(request):
    return JSONResponse({"status": "ok"})""": """threads = concurrent.futures.ThreadPoolExecutor(2)


def in_a_thread(function, *arguments):
    return asyncio.get_running_loop().run_in_executor(threads, function, *arguments)


async def health(request):
    return await in_a_thread(JSONResponse, {"status": "ok"})""",
    "await asyncio.to_thread(hasher.verify, password, users.get(username, nobody))": "await in_a_thread(hasher.verify, password, users.get(username, nobody))",
}
