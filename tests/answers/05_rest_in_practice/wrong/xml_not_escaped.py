"""A task with < or & in it makes XML that nobody can read."""

BASE = "starlette.py"

FAILS = {
    "formats.xml": "expected XML that can be read",
}

CHANGES = {
    "        return ElementTree.tostring(xml_of(value))": """        members = "".join(f"<{name}>{value[name]}</{name}>" for name in ("id", "task", "status"))
        return f"<todo>{members}</todo>".encode()""",
}
