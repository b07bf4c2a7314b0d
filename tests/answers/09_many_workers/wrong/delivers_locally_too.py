"""Who takes a message publishes it and also hands it to the members here: they hear it twice."""

BASE = "starlette_streams.py"
CHANGES = {
    """        number = await self.redis.xadd(key_of(room), {"text": text}, id="0-*", maxlen=1000)
        return {"seq": int(number.partition("-")[2]), "text": text}
""": """        number = await self.redis.xadd(key_of(room), {"text": text}, id="0-*", maxlen=1000)
        message = {"seq": int(number.partition("-")[2]), "text": text}
        self.deliver(room, message)
        return message
""",
}
FAILS = {
    "fanout.once": "2 times over",
    "fanout.order": "this needs messages that come once",
    "failure.return": "once and in the room's order (exercise fanout)",
    "failure.busy": "once and in the room's order (exercise fanout)",
    "failure.cut": "once and in the room's order (exercise fanout)",
    "failure.restart": "once and in the room's order (exercise fanout)",
}
