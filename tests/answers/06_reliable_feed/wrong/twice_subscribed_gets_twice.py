"""A room is a list, and who subscribes twice is in it twice."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "members = defaultdict(set)": "members = defaultdict(list)",
    "members[symbol].add(websocket)": "members[symbol].append(websocket)",
    "members[symbol].discard(websocket)": "members[symbol][:] = [one for one in members[symbol] if one is not websocket]",
    "        room.discard(websocket)": "        room[:] = [one for one in room if one is not websocket]",
}
FAILS = {
    "topics.updates": "once and in order",
}
