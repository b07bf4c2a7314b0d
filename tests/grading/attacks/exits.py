"""Ends the process at once, as a success."""

import os

os._exit(0)
