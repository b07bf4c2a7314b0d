"""Begins the delays anew with every connection that comes about."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "        yield json.loads(text)": "        yield json.loads(text)",
    "                for news in take(message, seen):": """\
                if message["type"] == "welcome":
                    failures = 0
                for news in take(message, seen):""",
}
FAILS = {
    "reconnect.delays": "A welcome alone is no good spell",
    "reconnect.anew": "the delays do not grow",
}
