"""Each worker numbers the messages that it takes: the same number stands for several messages."""

BASE = "starlette_streams.py"
CHANGES = {
    """    return {"seq": int(number.partition("-")[2]), "text": fields["text"]}
""": """    return {"seq": int(fields["seq"]), "text": fields["text"]}
""",
    """        return message_from(entries[0])["seq"] if entries else 0
""": """        return int(entries[0][0].partition("-")[2]) if entries else 0
""",
    """                self.deliver(room, message)
                after = message["seq"]
""": """                self.deliver(room, message)
                after = int(entry[0].partition("-")[2])
""",
    """        number = await self.redis.xadd(key_of(room), {"text": text}, id="0-*", maxlen=1000)
        return {"seq": int(number.partition("-")[2]), "text": text}
""": """        self.counts = getattr(self, "counts", {})
        seq = self.counts[room] = self.counts.get(room, 0) + 1
        await self.redis.xadd(key_of(room), {"text": text, "seq": seq}, id="0-*", maxlen=1000)
        return {"seq": seq, "text": text}
""",
}
FAILS = {
    "fanout.post": "expected numbers that grow within a room, whichever worker takes the message",
    "fanout.order": "in the order of their numbers",
    "failure.return": "once and in the room's order (exercise fanout)",
    "failure.busy": "once and in the room's order (exercise fanout)",
    "failure.cut": "once and in the room's order (exercise fanout)",
    "failure.restart": "once and in the room's order (exercise fanout)",
}
