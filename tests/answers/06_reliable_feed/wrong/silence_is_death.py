"""Takes a client that says nothing for a dead one."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
            async for text in websocket:
""": """\
            while True:
                text = await asyncio.wait_for(websocket.recv(), 2.4)
""",
    """\
    with suppress(ConnectionClosed):
        if not await admit""": """\
    with suppress(ConnectionClosed, TimeoutError):
        if not await admit""",
}
FAILS = {
    "heartbeat.silent": "an answer to each of",
}
