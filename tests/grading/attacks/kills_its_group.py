"""Kills process group 0, which is its own and whoever shares it."""

import os
import signal

os.kill(0, signal.SIGKILL)
