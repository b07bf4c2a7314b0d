"""Raises PermissionError where it catches OSError, which it is."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
        async for text in websocket:
            yield json.loads(text)
""": """\
        try:
            async for text in websocket:
                yield json.loads(text)
        except ConnectionClosed as end:
            if end.rcvd and end.rcvd.code == 1008:
                raise PermissionError from None
            raise
""",
}
FAILS = {
    "reconnect.refused": "another connection",
}
