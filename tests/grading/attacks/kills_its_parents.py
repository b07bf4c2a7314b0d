"""Kills its parent, and everybody it may signal, where that is no more than its own process namespace."""

import os
import signal

if os.getpid() < 50:
    for pid in (1, os.getppid(), -1):
        os.kill(pid, signal.SIGKILL)
else:
    os.kill(os.getppid(), signal.SIGKILL)
