"""Objects inside of the todo are replaced, not merged."""

BASE = "starlette.py"

FAILS = {
    "update.merge": "because objects inside of the todo are merged as well",
}

CHANGES = {
    "            target[name] = merge(target.get(name), value)": "            target[name] = value",
}
