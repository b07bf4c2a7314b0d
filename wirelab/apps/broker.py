"""A broker for the workers of a chat: it numbers each room's messages, keeps the last of them, and passes them on.

    python -m wirelab.apps.broker
    python -m wirelab.apps.chat --port 8001      # in other shells: as many workers as you like
    python -m wirelab.apps.chat --port 8002

or in a program or a notebook, on a thread of its own::

    with Broker() as broker:
        app = create_app(broker.url)

It speaks ZeroMQ: one ROUTER socket, DEALER sockets of its clients, one JSON object a message. A client asks (→)
and is told (←)::

    → {"do": "publish", "call": 7, "room": "tea", "text": "Hello"}
    ← {"call": 7, "seq": 42}
    → {"do": "history", "call": 8, "room": "tea", "after": 40}
    ← {"call": 8, "seq": 42, "messages": [[41, "…"], [42, "Hello"]]}
    → {"do": "listen", "id": 3, "room": "tea", "after": 42}
    ← {"id": 3, "prev": 42, "seq": 43, "text": "…"}                     for each message from now on

`seq` counts a room's messages. Whoever has taken part so far has all up to some number, and says which in `after`.

**ZeroMQ comes back by itself, and says nothing of what was lost meanwhile.** So a client says every half second
again what it listens to, and after which number; it is sent what it lacks. `prev` is the number that the message
comes after *for this client*: one whose `prev` is not the last that the client has can be dropped, for the next
request brings it once more. Who has not asked for `LEASE` seconds is forgotten. A connection that broke, a message
that was dropped and a broker that was started anew are one case, and need no code of their own.

Everything is kept in memory: after a restart the history is empty. Numbers begin where the clock stood when the
broker started (milliseconds since 1970), so those of a new run are above those of the run before it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Self

import zmq

HISTORY = 1000  # messages of each room
LEASE = 3.0  # seconds that a listener is remembered
TICK = 50  # milliseconds after which the thread looks whether it shall stop
MAX_MESSAGE = 64 * 1024  # bytes


class Room:
    """The last messages of a room, with their numbers."""

    def __init__(self, history: int, seq: int) -> None:
        """Begin without messages, after number `seq`; keep so many."""
        self.seq = seq
        self._texts: deque[str] = deque(maxlen=history)

    def add(self, text: str) -> int:
        """Number a message."""
        self.seq += 1
        self._texts.append(text)
        return self.seq

    def since(self, after: int) -> list[tuple[int, str]]:
        """The messages above a number that are still kept, oldest first."""
        first = self.seq - len(self._texts) + 1
        start = max(after + 1, first)
        return [(seq, self._texts[seq - first]) for seq in range(start, self.seq + 1)]


@dataclass
class Listener:
    """Somebody who gets each new message of a room, until its lease ends (seconds, monotonic)."""

    room: str
    until: float


class Switchboard:
    """Rooms and listeners; `answer` does what a client asks. Knows nothing of sockets but how to `send`."""

    def __init__(self, history: int = HISTORY) -> None:
        """Keep so many messages of each room."""
        self.rooms: dict[str, Room] = {}
        self._history = history
        self._start = time.time_ns() // 1_000_000
        self._listeners: dict[tuple[bytes, int], Listener] = {}

    def answer(self, client: bytes, asked: dict[str, Any]) -> list[tuple[bytes, dict[str, Any]]]:
        """What is sent because of this request, and to whom.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: it is no request.
        """
        name = str(asked["room"])
        # A room is kept once somebody has written in it. Until then every look at it finds the same.
        room = self.rooms.get(name) or Room(self._history, self._start)
        match asked["do"]:
            case "publish":
                self.rooms[name] = room
                before, seq = room.seq, room.add(str(asked["text"]))
                message = {"prev": before, "seq": seq, "text": str(asked["text"])}
                told = [(to, {"id": id, **message}) for to, id in self._listening(name)]
                return [*told, (client, {"call": asked["call"], "seq": seq})]
            case "history":
                kept = room.since(int(asked["after"]))
                return [(client, {"call": asked["call"], "seq": room.seq, "messages": kept})]
            case "listen":
                listener = Listener(name, time.monotonic() + LEASE)
                self._listeners[client, int(asked["id"])] = listener
                prev, missing = int(asked["after"]), []
                for seq, text in room.since(prev):
                    missing.append((client, {"id": asked["id"], "prev": prev, "seq": seq, "text": text}))
                    prev = seq
                return missing
        raise ValueError(f"nobody can {asked['do']!r}")

    def _listening(self, room: str) -> list[tuple[bytes, int]]:
        now = time.monotonic()
        for key in [key for key, listener in self._listeners.items() if listener.until < now]:
            del self._listeners[key]
        return [key for key, listener in self._listeners.items() if listener.room == room]


class Broker:
    """A broker on a thread of its own; `with` stops it at the end of the block.

    Args:
        port: on 127.0.0.1; 0 takes a free one.
        history: messages of each room that are kept.

    Attributes:
        port, url: where it is; the URL is what `wirelab.apps.chat.create_app` takes.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int = 0, *, history: int = HISTORY) -> None:
        """Start; it is ready when this returns."""
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.linger = 0
        self._router.maxmsgsize = MAX_MESSAGE
        try:
            self._router.bind(f"tcp://127.0.0.1:{port or '*'}")
        except zmq.ZMQError as taken:
            self._context.destroy(linger=0)
            raise OSError(f"Port {port} is taken ({taken})") from None
        self.port = int(str(self._router.getsockopt_string(zmq.LAST_ENDPOINT)).rpartition(":")[2])
        self.url = f"zmq://127.0.0.1:{self.port}"
        self._switchboard = Switchboard(history)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"broker at {self.url}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._router.poll(TICK):
                client, *frames = self._router.recv_multipart()
                # What is no request is dropped: who sends nonsense gets no answer.
                with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
                    for to, message in self._switchboard.answer(client, json.loads(b"".join(frames))):
                        self._router.send_multipart([to, json.dumps(message).encode()])
        self._context.destroy(linger=0)

    def stop(self) -> None:
        """Forget everything and free the port; does nothing to a stopped broker."""
        self._stopping.set()
        self._thread.join()

    def wait(self) -> None:
        """Wait until somebody stops it."""
        while self._thread.is_alive():
            self._thread.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def main() -> None:
    """Run a broker until interrupted."""
    parser = argparse.ArgumentParser(description="A broker for chat rooms over several workers.")
    parser.add_argument("--port", type=int, default=8770)
    parser.add_argument("--history", type=int, default=HISTORY, help="messages of each room that are kept")
    options = parser.parse_args()
    try:
        broker = Broker(options.port, history=options.history)
    except OSError as no_port:
        parser.exit(1, f"{no_port}\n")
    with broker, contextlib.suppress(KeyboardInterrupt):
        print(f"Broker at {broker.url}", flush=True)
        broker.wait()


if __name__ == "__main__":
    main()
