"""A polite pause between two requests, with the clock running."""

BASE = "plain_libraries.py"
CHANGES = {
    "            session.get(url, timeout=10)\n            durations": """\
            time.sleep(0.1)
            session.get(url, timeout=10)
            durations""",
}
FAILS = {"rest.durations": "so the clock runs while you do something else"}
