"""A message gets its number in one step and is appended in another: two workers overtake each other in between."""

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
""": """        seq = await self.redis.incr(f"seq of {room}")
        await self.redis.xadd(key_of(room), {"text": text, "seq": seq}, id="0-*", maxlen=1000)
        return {"seq": seq, "text": text}
""",
}
FAILS = {
    "fanout.order": "in the order of their numbers",
}
