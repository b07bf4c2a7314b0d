"""Round trips timed from a process of its own: a client that does not share the notebook's interpreter lock.

This module is also the program of that process, and needs nothing but the standard library: so it starts within a
few hundredths of a second.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

# Seconds without an answer after which the client gives up, and seconds that it may take to start and to end.
SILENCE = 10.0
MARGIN = 30.0


def round_trips_from_outside(url: str, count: int = 50, every: float = 0.01) -> list[float]:
    """Send GETs on one bare socket from another process, and return the seconds that each took.

    Args:
        url: what to get, over HTTP.
        count: how many, after one that is not timed.
        every: seconds from one to the next, if the answer is there by then.

    Raises:
        RuntimeError: there was no answer with a length.
    """
    ended = subprocess.run(
        [sys.executable, "-I", __file__, url, str(count), str(every)],
        capture_output=True,
        text=True,
        timeout=count * (every + SILENCE) + MARGIN,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"The client outside failed: {(ended.stderr.splitlines() or ['no word'])[-1]}")
    return [float(seconds) for seconds in json.loads(ended.stdout)]


def measure(url: str, count: int, every: float) -> list[float]:
    """Return the seconds that each GET took. See `round_trips_from_outside`."""
    address = urlsplit(url)
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    request = f"GET {target} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    times = []
    with socket.create_connection((address.hostname or "", address.port or 80), timeout=SILENCE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        answers = sock.makefile("rb")
        for _ in range(count + 1):
            started = time.perf_counter()
            sock.sendall(request)
            length = None
            while (line := answers.readline()).strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if length is None:
                raise ConnectionError("the answer did not say how long it is")
            answers.read(length)
            times.append(time.perf_counter() - started)
            time.sleep(max(0.0, started + every - time.perf_counter()))
    return times[1:]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
