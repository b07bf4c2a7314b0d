"""The durations are sorted, and nobody can tell any more which was which."""

BASE = "asynchronous.py"
CHANGES = {
    "        return await timed(lambda: client.get(url), n)": "        return sorted(await timed(lambda: client.get(url), n))",
}
FAILS = {"rest.durations": "yours are in another order"}
