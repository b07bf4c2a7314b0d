"""If-Match knows the tag of the JSON only."""

BASE = "starlette.py"

FAILS = {
    "update.either": "because GET with Accept: application/xml gave that tag",
}

CHANGES = {
    "    if not {tag_of(todo, JSON), tag_of(todo, XML)} &": "    if not {tag_of(todo, JSON)} &",
}
