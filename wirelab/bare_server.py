"""A server with nothing in it: each TCP connection is handed to a function, which reads and writes bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

# Connections that are served at the same time.
MOST = 16


@contextmanager
def listening(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen on a free port of 127.0.0.1, hand each connection to a function in a thread, and yield the base URL.

    A connection is closed when the function returns; those still open at the end are shut down, and the functions
    waited for. That a client leaves is no fault.

    Raises:
        Exception: what the function raised, at the end.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []
    served: list[Future[None]] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError):
            handle(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                served.append(pool.submit(serve, connection))

    with ThreadPoolExecutor(MOST, "wirelab bare server") as pool:
        acceptor = threading.Thread(target=accept, name="wirelab bare server accepts", daemon=True)
        acceptor.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            # Closing alone does not wake a thread that waits in `accept`.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            acceptor.join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
    for one in served:
        one.result()
