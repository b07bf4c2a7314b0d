"""Pings of the protocol instead of messages."""

BASE = "asynchronous.py"
CHANGES = {
    """            await websocket.send("?")
            return await websocket.recv()""": """\
            return await (await websocket.ping())""",
}
FAILS = {
    "websocket.connection": "which sent no text message on 1 WebSocket",
    "websocket.warm_up": "this needs a call that sends a text message",
    "websocket.durations": "this needs a call that sends a text message",
}
