"""Gives a slow client one more moment, in which everybody waits."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "def post(websocket, message):": "async def post(websocket, message):",
    """\
            queues[websocket].put_nowait(json.dumps(message))
        except asyncio.QueueFull:""": """\
            await asyncio.wait_for(queues[websocket].put(json.dumps(message)), 0.8)
        except TimeoutError:""",
    "                post(member, update)": "                await post(member, update)",
    "def obey(": "async def obey(",
    "post(websocket, obey(websocket, text))": "await post(websocket, await obey(websocket, text))",
    'post(websocket, {"type": "welcome"})': 'await post(websocket, {"type": "welcome"})',
}
FAILS = {
    "slow.others": "others that waited",
}
