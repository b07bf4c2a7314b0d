"""Takes the number that the server goes on from, whatever it is."""

BASE = "queue_for_each_client.py"
CHANGES = {
    'if before is not None and before != message["seq"]:': "if False:",
}
FAILS = {
    "resume.gap": "what the server no longer has is told",
    "resume.anew": "the caller got",
}
