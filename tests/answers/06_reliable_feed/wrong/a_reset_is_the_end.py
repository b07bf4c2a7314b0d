"""Comes back only when the server said goodbye."""

BASE = "queue_for_each_client.py"
CHANGES = {
    "            if end.rcvd and end.rcvd.code == 1008:": "            if end.rcvd is None or end.rcvd.code == 1008:",
}
FAILS = {
    "reconnect.returns": "it raised PermissionError",
    "reconnect.delays": "this needs a client that comes back",
    "reconnect.anew": "this needs a client that comes back",
    "resume.once": "this needs a client that comes back",
    "resume.gap": "this needs a client that comes back",
    "resume.anew": "this needs a client that comes back",
}
