"""Sends to one client after the other, and waits for each."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
                post(member, update)
""": """\
                with suppress(ConnectionClosed):
                    await member.send(json.dumps(update))
""",
    "def obey(": "async def obey(",
    "post(websocket, obey(websocket, text))": "post(websocket, await obey(websocket, text))",
}
FAILS = {
    "slow.others": "others that waited",
    "slow.code": "could not keep up",
}
