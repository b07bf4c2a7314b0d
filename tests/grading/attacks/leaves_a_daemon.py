"""Starts a program in a session of its own, twice forked, that shall outlive the grading."""

import os
import sys

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for handle in range(3, 64):
            try:
                os.close(handle)
            except OSError:
                pass
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", "MARKER"])
    os._exit(0)
