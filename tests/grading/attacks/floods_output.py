"""Prints gigabytes, and its own score."""

import sys

page = "score: 10 of 10\n" * 100_000
while True:
    sys.stdout.write(page)
    sys.__stdout__.write(page)
    sys.__stderr__.write(page)
