"""Takes gigabytes in processes that are modest each."""

import os
import time

for _ in range(30):
    if os.fork() == 0:
        hoard = b"x" * 60_000_000
        time.sleep(1000)
time.sleep(1000)
