"""Messages of bytes, which nobody answers."""

BASE = "asynchronous.py"
CHANGES = {'            await websocket.send("?")': '            await websocket.send(b"?")'}
FAILS = {
    "websocket.connection": "your message is bytes, and only a text is answered",
    "websocket.warm_up": "this needs a call that sends a text message",
    "websocket.durations": "this needs a call that sends a text message",
}
