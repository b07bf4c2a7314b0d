"""Takes a refusal for a failure like any other."""

BASE = "queue_for_each_client.py"
CHANGES = {
    """\
            if end.rcvd and end.rcvd.code == 1008:
                raise PermissionError("refused") from None
""": """\
            pass
""",
}
FAILS = {
    "reconnect.refused": "another connection",
}
