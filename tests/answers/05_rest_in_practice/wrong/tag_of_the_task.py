"""The tag is made of the task alone: a new status does not change it."""

BASE = "starlette.py"

FAILS = {
    "conditional.tag": "expected another tag than before",
}

CHANGES = {
    "hashlib.md5(written(value, media_type)).hexdigest()": 'hashlib.md5(written({**value, "status": ""} if isinstance(value, dict) else value, media_type)).hexdigest()',
}
