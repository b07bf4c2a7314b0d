"""A task is put into the page as HTML."""

BASE = "starlette_queues.py"
CHANGES = {
    "item.textContent =": "item.innerHTML =",
}
FAILS = {
    "page.text": "has become an element",
}
