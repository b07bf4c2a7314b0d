"""An update that was not emitted is looked up all the same."""

BASE = "requests_and_threads.py"
CHANGES = {
    " for seq, at in seen if seq in made)": " for seq, at in seen)",
}
FAILS = {
    "staleness.unknown": "KeyError",
}
