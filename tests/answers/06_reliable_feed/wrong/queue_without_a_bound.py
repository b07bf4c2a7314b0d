"""Keeps for a client whatever it does not take."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "asyncio.Queue(QUEUE)": "asyncio.Queue()",
}
FAILS = {
    "slow.code": "no end",
}
