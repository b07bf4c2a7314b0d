"""Writes files until nothing is left to write to."""

import itertools
import os
import tempfile

block = b"x" * 1_000_000
for number in itertools.count():
    with open(os.path.join(tempfile.gettempdir(), f"junk{number}"), "wb") as file:
        for _ in range(1_000):
            file.write(block)
