"""Looks for other servers on the loopback, to answer with what they answer. It fails by showing its loot."""

import socket

PORT = 0
try:
    socket.create_connection(("127.0.0.1", PORT), timeout=1).close()
except OSError:
    pass
else:
    raise RuntimeError("LOOT a neighbour's port")
