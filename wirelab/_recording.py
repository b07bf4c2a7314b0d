"""What went over an emulated network, kept as it went: pieces of bytes and their times, up to a limit."""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple, TypeAlias

Sender: TypeAlias = Literal["client", "server", "network"]

CLIENT: Literal["client"] = "client"
SERVER: Literal["server"] = "server"
NETWORK: Literal["network"] = "network"

# Bytes that are kept of each direction of a connection: the first ones.
KEPT_OF_A_DIRECTION = 1_000_000
# Bytes that are kept altogether; beyond that the oldest connections are forgotten. A piece weighs more than
# its data.
KEPT, WEIGHT = 16_000_000, 400


class Piece(NamedTuple):
    """Some bytes, or an end.

    Attributes:
        sender: who sent it.
        kind: "bytes"; "end", nothing more comes from there; "reset", the connection broke.
        left: when it left its sender.
        arrived: when it was at the other end. Both in seconds of the event loop's clock.
    """

    sender: Sender
    kind: Literal["bytes", "end", "reset"]
    data: bytes
    left: float
    arrived: float


class Recording:
    """What went over one connection.

    Attributes:
        number: counts connections from 1.
        opened: when the client opened it, on the event loop's clock.
        handshake: seconds that this would have taken.
        cut_off: bytes of each sender that were not kept.
        dropped: whether it was forgotten, to make room: it keeps nothing any more.
    """

    def __init__(self, recorder: Recorder, number: int, opened: float, handshake: float) -> None:
        self._recorder = recorder
        self.number = number
        self.opened = opened
        self.handshake = handshake
        self.pieces: list[Piece] = []
        self.kept = {CLIENT: 0, SERVER: 0}
        self.cut_off = {CLIENT: 0, SERVER: 0}
        self.weight = 0
        self.dropped = False

    def piece(self, sender: Literal["client", "server"], data: memoryview, left: float, arrived: float) -> None:
        """Keep bytes that have arrived."""
        room = max(0, KEPT_OF_A_DIRECTION - self.kept[sender])
        self.cut_off[sender] += max(0, len(data) - room)
        if room:
            self.kept[sender] += min(room, len(data))
            self._keep(Piece(sender, "bytes", bytes(data[:room]), left, arrived))

    def mark(self, sender: Sender, kind: Literal["end", "reset"], left: float, arrived: float) -> None:
        """Keep an end."""
        self._keep(Piece(sender, kind, b"", left, arrived))

    def drop(self) -> None:
        """Forget everything, also what is still to come."""
        self.dropped = True
        self.pieces.clear()

    def _keep(self, piece: Piece) -> None:
        if self.dropped:
            return
        self.pieces.append(piece)
        weight = WEIGHT + len(piece.data)
        self.weight += weight
        self._recorder.grown(weight)

    def copy(self) -> Recording:
        """As it is now."""
        copy = Recording(self._recorder, self.number, self.opened, self.handshake)
        copy.pieces, copy.cut_off = list(self.pieces), dict(self.cut_off)
        return copy


class Recorder:
    """The recordings of all connections, the newest that fit."""

    def __init__(self) -> None:
        self._recordings: deque[Recording] = deque()
        self._begun = 0
        self._weight = 0

    def begin(self, opened: float, handshake: float) -> Recording:
        """Begin with a new connection."""
        self._begun += 1
        recording = Recording(self, self._begun, opened, handshake)
        self._recordings.append(recording)
        return recording

    def grown(self, weight: int) -> None:
        """One of the recordings weighs so much more."""
        self._weight += weight
        while self._weight > KEPT and len(self._recordings) > 1:
            oldest = self._recordings.popleft()
            self._weight -= oldest.weight
            oldest.drop()

    def copy(self) -> list[Recording]:
        """All of them as they are now, oldest first."""
        return [recording.copy() for recording in self._recordings]
