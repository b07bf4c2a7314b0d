"""Throws away the oldest message for a slow client, and says nothing."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
        except asyncio.QueueFull:
            drop(websocket)
""": """\
        except asyncio.QueueFull:
            queues[websocket].get_nowait()
            queues[websocket].put_nowait(json.dumps(message))
""",
}
FAILS = {
    "slow.code": "no end",
}
