"""The most welcome range counts, not the most special one."""

BASE = "starlette.py"

FAILS = {
    "formats.quality": "is the one that this client likes best of the two",
}

CHANGES = {
    """    for name in (media_type, media_type.split("/")[0] + "/*", "*/*"):
        if name in found:
            return found[name]
    return 0.0
""": """    return max(found.get(name, 0.0) for name in (media_type, media_type.split("/")[0] + "/*", "*/*"))
""",
}
