"""The second time the status is another."""

BASE = "starlette.py"

FAILS = {
    "retry.once": "expected 201 Created, as the first time",
}

CHANGES = {
    "    return answer(request, todo, 201, Location": """    status = 200 if key and replayed else 201
    return answer(request, todo, status, Location""",
    """        if name not in created:
""": """        replayed = name in created
        if name not in created:
""",
}
