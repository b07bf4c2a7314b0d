"""What a submission may use."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a submission may use; every process it starts counts.

    Attributes:
        wall: seconds for the whole grading of one submission.
        cells: seconds for all of its cells together.
        cell: seconds for one cell; then the cell is interrupted and the next one runs.
        cpu: seconds of processor time for each process.
        memory: bytes beyond what the clean process holds.
        processes: processes and threads.
        file_size: bytes in one file; where the file system is its own, in all files.
        open_files: open files and sockets for each process.
        submission_size: bytes of the submitted file.
    """

    wall: float = 300.0
    cells: float = 60.0
    cell: float = 10.0
    cpu: int = 120
    memory: int = 1024 * MEBIBYTE
    processes: int = 128
    file_size: int = 64 * MEBIBYTE
    open_files: int = 1024
    submission_size: int = 16 * MEBIBYTE
