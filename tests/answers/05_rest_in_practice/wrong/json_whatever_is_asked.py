"""What cannot be had is answered with JSON."""

BASE = "starlette.py"

FAILS = {
    "formats.impossible": "406 Not Acceptable, because there is neither JSON nor XML",
}

CHANGES = {
    '        raise HTTPException(406, "There is JSON and XML.")': "        return JSON",
}
