"""Two sentences, one for each reason: whoever tries names learns which there are."""

BASE = "starlette_functions.py"
CHANGES = {
    '        refuse("Wrong username or password.")\n    claims = {"sub"': '        refuse("Wrong password." if username in users else "There is no such user.")\n    claims = {"sub"',
}
FAILS = {
    "login.refused": "There is no such user",
}
